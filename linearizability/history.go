package linearizability

import (
	"fmt"
	"iter"
	"math"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
)

// Kind is what an entry of a history records.
type Kind uint8

// Operations of clients, and two events of the volume.
const (
	Read      Kind = iota + 1
	Write          // may be lost by a power loss until a flush
	WriteFUA       // safe from power loss once acknowledged
	Zero           // writes zeroes: a trim
	Flush          // makes safe what was acknowledged before its call
	PowerLoss      // every in-sync copy lost what it had not flushed
	Attach         // a new session serves the volume
)

func (k Kind) String() string {
	switch k {
	case Read:
		return "read"
	case Write:
		return "write"
	case WriteFUA:
		return "write+fua"
	case Zero:
		return "zero"
	case Flush:
		return "flush"
	case PowerLoss:
		return "power loss"
	case Attach:
		return "attach"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

func (k Kind) writes() bool { return k == Write || k == WriteFUA || k == Zero }

// outcome is what is known about how an operation ended.
type outcome uint8

const (
	unknown outcome = iota // not returned, or returned without saying
	done
	failed // definitely: it never took effect
)

// never is the return of an operation that may take effect at any later time.
const never = math.MaxInt64

// blocksMax is how far a volume's history reaches: 16 TiB of 4 KiB blocks, in
// half the space of a block.Block.
const blocksMax = math.MaxUint32

// entry is one operation on one block. Those of one operation stand together.
type entry struct {
	call  int64
	ret   int64 // of an operation of unknown outcome: when it was fenced; 0 if it was not
	value uint64
	block uint32
	era   uint32 // of the session that served it, 0 if not known
	rest  uint32 // entries of the same operation that follow
	// client is below 1<<16: histories of more clients share numbers, which
	// only texts and pictures show.
	client  uint16
	kind    Kind
	outcome outcome
}

// Op names an operation of a history: its first entry.
type Op uint32

// History is what the clients of one volume asked and were told, in the order
// in which it happened. It only grows. A call is recorded before the request
// leaves, a return after the answer came: then the order of recording is sound
// evidence, and times are for people. Two events of equal time are told apart
// by a nudge of 1 ns. Not safe for concurrent use: a recorder with several
// clients holds one lock around reading its clock and recording.
type History struct {
	volume block.VolumeID
	chunks []*chunk
	count  int              // of entries
	last   int64            // time of the latest event
	damage []damage         // reads that need no search
	places []block.Position // by entry; empty until Place is used
	faults []fault
}

// chunkLen is how many entries are allocated at once: 10 KiB. Growing moves and
// spares nothing, so an entry costs what it is large.
const chunkLen = 256

type chunk [chunkLen]entry

// fault is what the outside did to the cluster meanwhile: for people only.
type fault struct {
	from, to int64
	text     string
}

// damage is a read whose data were no stamp that could stand there.
type damage struct {
	entry uint32
	err   error
}

// NewHistory returns the empty history of a volume.
func NewHistory(volume block.VolumeID) *History { return &History{volume: volume} }

// Reset empties h for another volume and keeps its memory.
func (h *History) Reset(volume block.VolumeID) {
	*h = History{volume: volume, chunks: h.chunks, damage: h.damage[:0], places: h.places[:0], faults: h.faults[:0]}
}

// Volume returns the volume that h is about.
func (h *History) Volume() block.VolumeID { return h.volume }

// Len returns the number of entries: one per operation and block.
func (h *History) Len() int { return h.count }

// at returns entry i.
func (h *History) at(i uint32) *entry { return &h.chunks[i/chunkLen][i%chunkLen] }

// all returns the entries in order of their calls.
func (h *History) all() iter.Seq2[uint32, *entry] {
	return func(yield func(uint32, *entry) bool) {
		for i := range uint32(h.count) {
			if !yield(i, h.at(i)) {
				return
			}
		}
	}
}

// of returns the entries of op.
func (h *History) of(op Op) iter.Seq2[uint32, *entry] {
	return func(yield func(uint32, *entry) bool) {
		first := uint32(op)
		for i := range h.at(first).rest + 1 {
			if !yield(first+i, h.at(first+i)) {
				return
			}
		}
	}
}

// add appends an entry.
func (h *History) add(e entry) {
	if h.count == len(h.chunks)*chunkLen {
		h.chunks = append(h.chunks, new(chunk))
	}
	h.count++
	*h.at(uint32(h.count - 1)) = e
}

// Call records that client asks for kind, which is Write, WriteFUA, Zero or
// Read of r, or Flush (r is ignored). values are those to be written, one per
// block; none for the other kinds.
func (h *History) Call(now int64, client int, kind Kind, r block.Range, values ...uint64) Op {
	switch kind {
	case Write, WriteFUA:
		invariant.That(len(values) == int(r.Count), "one value per block is written")
	case Read, Zero:
		invariant.That(len(values) == 0, "only writes are called with values")
	case Flush:
		r = block.Range{Count: 1}
	case PowerLoss, Attach:
		invariant.That(false, "events of the volume have their own methods")
	}
	invariant.That(!r.Empty() && r.End()-1 <= blocksMax, "an operation lies within the blocks that a history can name")
	op := Op(h.count)
	e := entry{call: h.tick(now), client: uint16(client), kind: kind}
	for i := range r.Count {
		e.block, e.rest = uint32(r.First)+i, r.Count-1-i
		if len(values) > 0 {
			e.value = values[i]
		}
		h.add(e)
	}
	return op
}

// Return records that op succeeded; values are what a read returned, one per
// block, and none for the other kinds.
func (h *History) Return(now int64, op Op, values ...uint64) {
	first := h.finish(now, op, done)
	if first.kind == Read {
		invariant.That(len(values) == int(first.rest)+1, "a read returns one value per block")
		for i, e := range h.of(op) {
			e.value = values[i-uint32(op)]
		}
		return
	}
	invariant.That(len(values) == 0, "only reads return values")
}

// ReturnData is Return for a read of stamped blocks. A block that holds no
// stamp of this volume and block is a violation by itself.
func (h *History) ReturnData(now int64, op Op, data []byte) {
	first := h.finish(now, op, done)
	blocks := int(first.rest) + 1
	invariant.That(first.kind == Read && len(data)%blocks == 0, "a read returns whole blocks")
	size := len(data) / blocks
	for i, e := range h.of(op) {
		stamp, err := Decode(data[:size], h.volume, block.Block(e.block))
		data = data[size:]
		if err != nil {
			h.damage = append(h.damage, damage{entry: i, err: err})
			e.outcome = unknown // what it says about other operations is not known
			continue
		}
		e.value = stamp.Value()
	}
}

// Fail records that op failed for certain: nobody may ever see its effect.
func (h *History) Fail(now int64, op Op) { h.finish(now, op, failed) }

// Ambiguous records that op's outcome will stay unknown. So is that of an
// operation whose end is never recorded.
func (h *History) Ambiguous(op Op) {
	invariant.That(h.at(uint32(op)).outcome == unknown, "an operation ends once")
}

// Fence records that op, if it took effect at all, did so by now: its session
// has been replaced.
func (h *History) Fence(now int64, op Op) {
	at := h.tick(now)
	for _, e := range h.of(op) {
		e.fence(at)
	}
}

// Serve records the era of the session that op was handed to, for Attach.
func (h *History) Serve(op Op, era block.Epoch) {
	for _, e := range h.of(op) {
		e.era = uint32(era)
	}
}

// Attach records that the attach which created era has returned: what older
// sessions left undecided is decided. Only operations with a known era (Serve)
// are fenced by it.
func (h *History) Attach(now int64, era block.Epoch) {
	at := h.tick(now)
	for _, e := range h.all() {
		if e.era != 0 && e.era < uint32(era) {
			e.fence(at)
		}
	}
	h.add(entry{call: at, ret: at, kind: Attach, outcome: done, era: uint32(era)})
}

// PowerLoss records that at this moment the last copy that still had every
// acknowledged write lost what it had not flushed, and no coordinator lives
// that could send it again.
func (h *History) PowerLoss(now int64) {
	at := h.tick(now)
	h.add(entry{call: at, ret: at, kind: PowerLoss, outcome: done})
}

// Fault records what was done to the cluster between two times, in words. No
// judge asks for it; texts and pictures of a violation show it.
func (h *History) Fault(from, to int64, text string) {
	h.faults = append(h.faults, fault{from: from, to: max(from, to), text: text})
}

// Place records op's place in the volume's stream, for CheckPrefix. It is the
// place at which its record was first written: one that was sent again after a
// power loss, at a new place, has to be left without.
func (h *History) Place(op Op, at block.Position) {
	for len(h.places) < h.count {
		h.places = append(h.places, block.Position{})
	}
	for i := range h.of(op) {
		h.places[i] = at
	}
}

func (e *entry) fence(at int64) {
	if e.outcome == unknown && e.ret == 0 {
		e.ret = at
	}
}

// finish ends op and returns its first entry.
func (h *History) finish(now int64, op Op, how outcome) *entry {
	at := h.tick(now)
	for _, e := range h.of(op) {
		invariant.That(e.outcome == unknown, "an operation ends once")
		e.outcome = how
		if e.ret == 0 || e.kind == Read || how == failed {
			e.ret = at // else fenced before: it had taken effect by then
		}
	}
	return h.at(uint32(op))
}

// tick returns the time of the next event: now, or just after the latest one.
func (h *History) tick(now int64) int64 {
	h.last = max(now, h.last+1)
	return h.last
}

// place returns where entry i stands in the stream, and whether that is known.
func (h *History) place(i uint32) (block.Position, bool) {
	if int(i) >= len(h.places) || h.places[i] == (block.Position{}) {
		return block.Position{}, false
	}
	return h.places[i], true
}
