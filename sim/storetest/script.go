package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
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
	Push                    // chunk A, N draws its bits and its layer
	Snap                    // N: 0 goes on, else it goes back to a snapshot that N chooses
	DelSnap                 // a snapshot that N chooses
	Clone                   // into the slot A, of a snapshot that N chooses
	OpenLayer               // on one that N chooses
	DropLayer               // one that N chooses
	Target                  // of a resync that leaves its content where it is; again: it is done
	Delete                  //
	Read                    // A first block, N blocks
	ReadSnap                // chunk A of a snapshot that N chooses
	Pull                    // chunk A of a layer that N chooses
	List                    // the chunks changed after seq A in a layer that N chooses
	Run                     // N events
	Drain                   // until no operation is in flight
	Idle                    // N seconds
	Close                   // and open again
	Kill                    // and open again
	PowerCut                // and open again; N: the kind of loss
	Scrub                   // begins, or goes on
)

var verbNames = [...]string{ // constant table: never written
	"create", "write", "zero", "nop", "replay", "sync", "stable", "stableahead", "meta", "truncate", "reset", "continue", "push",
	"snap", "delsnap", "clone", "openlayer", "droplayer", "target", "delete", "read", "readsnap", "pull", "list", "run", "drain", "idle", "close", "kill", "powercut", "scrub",
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
		m.Pull(l.Slot, m.chosen(l.Slot, l.N), block.Chunk(l.A))
	case List:
		m.List(l.Slot, m.chosen(l.Slot, l.N), block.Seq(l.A))
	case Snap, DelSnap, Clone, OpenLayer, DropLayer, ReadSnap:
		m.playLayers(l)
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
	case Target:
		if !m.faulty { // what is damaged is emptied first
			m.Target(l.Slot)
		}
	case Delete:
		m.Delete(l.Slot)
	case Run:
		m.Run(int(l.N))
	case Drain:
		m.Settled()
	case Idle:
		m.Idle(time.Duration(l.N) * time.Second)
	case Scrub:
		m.Scrub(scrubTurn)
	case Close:
		m.playClose()
	case Kill:
		m.Crash(Crash{})
	case PowerCut:
		m.Crash(Crash{Power: true, Loss: lossOf(l.N)})
	}
}

// chosen returns a snapshot of the replica in slot, or 0: the head.
func (m *Machine) chosen(slot int, n uint64) block.LayerID {
	r := m.replicas[slot]
	s := r.after(len(r.log)).strata
	ids := s.ids()
	if n %= uint64(len(ids) + 1); n == 0 {
		return 0
	}
	return ids[n-1]
}

// isTarget reports whether r is the target of a resync that may be pushed to: here
// only before its stream goes on. One that keeps what it has must have heard that
// it is rewound: from then on none of its records is unstable, which a push would
// go home before.
func (r *replica) isTarget() bool {
	s := r.after(len(r.log))
	if s.meta.Resync == 0 {
		return false
	}
	begun := r.durable
	for i, a := range r.log {
		if a.kind == actMeta && a.meta.Resync == s.meta.Resync {
			begun = i + 1
			break
		}
	}
	keeps := s.meta.SyncTarget != block.Position{}
	return s.last.Seq == s.meta.SyncTarget.Seq && (keeps && r.durable >= begun || len(s.records) == 0)
}

// playLayers plays the verbs that make, use and end layers.
func (m *Machine) playLayers(l Line) {
	r := m.replicas[l.Slot]
	id := m.chosen(l.Slot, l.N)
	target := r.isTarget()
	switch {
	case l.Verb == Snap:
		m.Snap(l.Slot, id)
	case l.Verb == DelSnap && id != 0:
		m.DelSnap(l.Slot, id)
	case l.Verb == ReadSnap && id != 0:
		first := block.Block(l.A % (r.blocks / block.PerChunk) * block.PerChunk)
		m.ReadImage(l.Slot, id, block.Range{First: first, Count: block.PerChunk})
	case l.Verb == Clone && id != 0 && (int(l.A) >= len(m.replicas) || m.replicas[l.A] == nil):
		m.Clone(int(l.A), l.Slot, id, l.N%2*block.PerChunk)
	case l.Verb == OpenLayer && target:
		m.OpenLayer(l.Slot, id)
	case l.Verb == DropLayer && target && id != 0:
		m.DropLayer(l.Slot, id)
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

// playContinue does what a resync does: its replica was just reset, or rewound.
func (m *Machine) playContinue(l Line) {
	r := m.replicas[l.Slot]
	s := r.after(len(r.log))
	keeps := s.meta.SyncTarget != block.Position{}
	if r.isTarget() && (keeps || s.last.Seq == 0) {
		m.Continue(l.Slot, s.last.Seq+block.Seq(l.A))
		m.Drain()
	}
}

func (m *Machine) playPush(l Line) {
	r := m.replicas[l.Slot]
	if !r.isTarget() {
		return
	}
	draw := rand.New(rand.NewPCG(l.N, l.A)) //nolint:forbidigo // seeded by the line: the same every time
	chunk := block.Chunk(l.A % (r.blocks / block.PerChunk))
	apply, more := uint16(draw.Uint32()), uint16(draw.Uint32())
	apply |= more // most blocks
	present, zero := uint16(draw.Uint32()), uint16(draw.Uint32())
	if s := r.after(len(r.log)); s.strata.merges { // what a clearing uncovers may be merged already
		apply &= present | zero
	}
	layer := m.chosen(l.Slot, l.N>>8)
	if m.cloned(r) { // what a clone stands on is the same on every copy: no push changes it
		layer = 0
	}
	m.Push(l.Slot, layer, chunk, apply, present, zero)
}

// cloned reports whether a clone may stand on what r has, also through others.
func (m *Machine) cloned(r *replica) bool {
	return slices.ContainsFunc(m.replicas, func(o *replica) bool { return o != nil && o != r && o.origin != nil && o.pattern == r.pattern })
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
	return draw(seed, lines, slots, blocks, true)
}

// DrawFlat draws a script without snapshots and clones.
func DrawFlat(seed uint64, lines, slots int, blocks uint64) []Line {
	return draw(seed, lines, slots, blocks, false)
}

func draw(seed uint64, lines, slots int, blocks uint64, layered bool) []Line {
	r := rand.New(rand.NewPCG(seed, 0x5c919)) //nolint:forbidigo // seeded: the same every time
	weights := [...]int{
		Create: 2, Write: 30, Zero: 5, Nop: 1, Replay: 1, Sync: 10, Stable: 10, StableAhead: 1, Meta: 2, Truncate: 2, Reset: 1, Continue: 1, Push: 3, Delete: 1,
		Snap: 4, DelSnap: 3, Clone: 1, OpenLayer: 1, DropLayer: 1, Target: 1,
		Read: 6, ReadSnap: 4, Pull: 3, List: 1, Run: 30, Drain: 6, Idle: 1, Close: 0, Kill: 0, PowerCut: 0, Scrub: 1,
	}
	for v := range weights { // each script has its own taste
		if Verb(v) != Create && Verb(v) != Write && r.IntN(4) == 0 {
			weights[v] *= r.IntN(4)
		}
	}
	for _, v := range []Verb{Snap, DelSnap, Clone, OpenLayer, DropLayer, ReadSnap} {
		if !layered {
			weights[v] = 0
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
		l.A, l.N = r.Uint64N(40), r.Uint64N(4)
	case Snap:
		l.N = r.Uint64N(8) * r.Uint64N(2)
	case DelSnap, OpenLayer, DropLayer:
		l.N = r.Uint64N(8)
	case Clone:
		l.A, l.N = r.Uint64N(4), r.Uint64N(8)
	case ReadSnap:
		l.A, l.N = r.Uint64N(64), r.Uint64N(8)
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
