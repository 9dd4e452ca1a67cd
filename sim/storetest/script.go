package storetest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lagan-storage/lagan/core/block"
)

// Verb is what one line of a script does.
type Verb uint8

// The verbs; Slot says to which replica. A verb that makes no sense in the
// state it is met in (a write to a slot without a replica) does nothing.
const (
	Create      Verb = iota // N blocks
	Write                   // A first block, N blocks
	Zero                    // A first block, N blocks
	Nop                     //
	Replay                  // what the last crash took, record by record as it was
	Sync                    //
	Stable                  // all durable records but the newest N become stable
	StableAhead             // all appended records become stable
	Meta                    //
	Truncate                // the newest N records, as far as they are not stable
	Reset                   //
	Continue                // after seq A
	Push                    // chunk A, N draws its bits
	Delete                  //
	Read                    // A first block, N blocks
	Pull                    // chunk A
	List                    // the chunks changed after seq A
	Run                     // N events
	Drain                   // until no operation is in flight
	Idle                    // N seconds
	Close                   // and open again
	Kill                    // and open again
	PowerCut                // and open again; N: the kind of loss
)

var verbNames = [...]string{ // constant table: never written
	"create", "write", "zero", "nop", "replay", "sync", "stable", "stableahead", "meta", "truncate", "reset", "continue", "push", "delete",
	"read", "pull", "list", "run", "drain", "idle", "close", "kill", "powercut",
}

// Line is one line of a script.
type Line struct {
	Verb Verb
	Slot int
	A, N uint64
}

func (l Line) String() string { return fmt.Sprintf("%s %d %d %d", verbNames[l.Verb], l.Slot, l.A, l.N) }

// Play runs a script.
func (m *Machine) Play(script []Line) {
	for _, l := range script {
		if m.failure != nil {
			return
		}
		if m.stopped != "" { // a disk error: the process opens the disk anew
			m.Crash(Crash{})
			if m.stopped != "" || m.failure != nil {
				return
			}
		}
		m.log("> %v", l)
		m.play(l)
	}
}

func (m *Machine) play(l Line) {
	if l.Verb <= List && l.Verb != Create {
		if !m.usable(l.Slot) {
			return
		}
		if m.replicas[l.Slot].damaged && l.Verb != Reset && l.Verb != Delete && l.Verb != Read {
			return
		}
	}
	switch l.Verb {
	case Create:
		if l.Slot >= len(m.replicas) || m.replicas[l.Slot] == nil {
			m.Create(l.Slot, l.N)
		}
	case Write, Zero, Read:
		m.playRange(l)
	case Pull:
		m.Pull(l.Slot, block.Chunk(l.A))
	case List:
		m.List(l.Slot, block.Seq(l.A))
	case Nop:
		m.Nop(l.Slot)
	case Replay:
		m.Replay(l.Slot)
	case Sync:
		m.Sync(l.Slot)
	case Stable:
		m.Stable(l.Slot, block.Seq(l.N))
	case StableAhead:
		m.StableAhead(l.Slot)
	case Meta:
		m.Meta(l.Slot)
	case Truncate:
		m.Drain() // a replica appends and truncates in turn, never at once
		if m.usable(l.Slot) {
			m.Truncate(l.Slot, block.Seq(l.N))
			m.Drain()
		}
	case Reset:
		m.Reset(l.Slot)
		m.Drain()
	case Continue:
		m.playContinue(l)
	case Push:
		m.playPush(l)
	case Delete:
		m.Delete(l.Slot)
	case Run:
		m.Run(int(l.N))
	case Drain:
		m.Settled()
	case Idle:
		m.Idle(time.Duration(l.N) * time.Second)
	case Close:
		m.playClose()
	case Kill:
		m.Crash(Crash{})
	case PowerCut:
		m.Crash(Crash{Power: true, Loss: lossOf(l.N)})
	}
}

// usable reports whether a replica is in the slot that is not being deleted.
func (m *Machine) usable(slot int) bool {
	if slot >= len(m.replicas) || m.replicas[slot] == nil || m.stopped != "" {
		return false
	}
	log := m.replicas[slot].log
	return len(log) == 0 || log[len(log)-1].kind != actDelete
}

func (m *Machine) playRange(l Line) {
	r := m.replicas[l.Slot]
	blocks := block.Range{First: block.Block(l.A % r.blocks), Count: uint32(max(1, l.N))}
	blocks.Count = uint32(min(uint64(blocks.Count), r.blocks-uint64(blocks.First)))
	if l.Verb != Zero {
		blocks.Count = min(blocks.Count, uint32(block.PerChunk-blocks.First.Offset()))
	}
	switch l.Verb {
	case Write:
		m.Write(l.Slot, blocks.First, blocks.Count)
	case Zero:
		m.Zero(l.Slot, blocks.First, blocks.Count)
	default:
		m.Read(l.Slot, blocks)
	}
}

// playContinue does what a resync does: its replica was just reset.
func (m *Machine) playContinue(l Line) {
	r := m.replicas[l.Slot]
	if s := r.after(len(r.log)); s.last.Seq == 0 && s.meta.Resync != 0 {
		m.Continue(l.Slot, block.Seq(l.A))
		m.Drain()
	}
}

func (m *Machine) playPush(l Line) {
	r := m.replicas[l.Slot]
	if s := r.after(len(r.log)); s.meta.Resync == 0 || len(s.records) > 0 {
		return // only a target of a resync is pushed to, and here only before its stream goes on
	}
	draw := rand.New(rand.NewPCG(l.N, l.A)) //nolint:forbidigo // seeded by the line: the same every time
	chunk := block.Chunk(l.A % (r.blocks / block.PerChunk))
	apply, more := uint16(draw.Uint32()), uint16(draw.Uint32())
	apply |= more // most blocks
	m.Push(l.Slot, chunk, apply, uint16(draw.Uint32()), uint16(draw.Uint32()))
}

func (m *Machine) playClose() {
	m.Drain()
	waited := m.waiting() // at rest: for space that a stable above would give
	m.store.Close(m.now, &m.out)
	m.settle()
	m.Drain()
	if m.stopped != "" {
		return
	}
	if !m.closed {
		m.fail("Close came to rest without Closed")
		return
	}
	for _, r := range m.replicas {
		if r == nil {
			continue
		}
		if !waited {
			r.accepted = len(r.log)
		}
		r.durable = r.accepted // what waits is dropped: nobody was told of it
	}
	m.Crash(Crash{Power: true, Loss: lossOf(m.tokens)}) // nothing may depend on the cache
}

// Draw returns a random script over some replicas of up to blocks blocks.
func Draw(seed uint64, lines, slots int, blocks uint64) []Line {
	r := rand.New(rand.NewPCG(seed, 0x5c919)) //nolint:forbidigo // seeded: the same every time
	weights := [...]int{
		Create: 2, Write: 30, Zero: 5, Nop: 1, Replay: 1, Sync: 10, Stable: 10, StableAhead: 1, Meta: 2, Truncate: 2, Reset: 1, Continue: 1, Push: 3, Delete: 1,
		Read: 6, Pull: 3, List: 1, Run: 30, Drain: 6, Idle: 1, Close: 0, Kill: 0, PowerCut: 0,
	}
	for v := range weights { // each script has its own taste
		if Verb(v) != Create && Verb(v) != Write && r.IntN(4) == 0 {
			weights[v] *= r.IntN(4)
		}
	}
	total := 0
	for _, w := range weights {
		total += w
	}
	hot := 1 + r.Uint64N(blocks)
	script := []Line{{Verb: Create, Slot: 0, N: blocks}}
	for len(script) < lines {
		pick, v := r.IntN(total), Verb(0)
		for ; pick >= weights[v]; v++ {
			pick -= weights[v]
		}
		script = append(script, drawLine(r, v, r.IntN(slots), blocks, hot))
	}
	return script
}

func drawLine(r *rand.Rand, v Verb, slot int, blocks, hot uint64) Line {
	l := Line{Verb: v, Slot: slot}
	switch v {
	case Create:
		l.N = block.PerChunk * (1 + r.Uint64N(blocks/block.PerChunk))
	case Write, Zero, Read:
		l.A, l.N = r.Uint64N(hot), 1+r.Uint64N(4)
		switch r.IntN(4) {
		case 0: // a whole chunk
			l.A, l.N = l.A/block.PerChunk*block.PerChunk, block.PerChunk
		case 1:
			l.A = r.Uint64N(blocks)
			if v == Zero {
				l.N = 1 + r.Uint64N(3*block.PerChunk)
			}
		}
	case Stable, Truncate:
		l.N = r.Uint64N(4)
	case Continue:
		l.A = 1 + r.Uint64N(1000)
	case Pull, List:
		l.A = r.Uint64N(40)
	case Push:
		l.A, l.N = r.Uint64N(64), r.Uint64()
	case Run:
		l.N = 1 + r.Uint64N(6)
	case Idle:
		l.N = 1 + r.Uint64N(40)
	default:
	}
	return l
}
