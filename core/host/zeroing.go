package host

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

const (
	// zeroMax is the most that one request to a coordinator zeroes, in blocks: 64 MiB.
	zeroMax = 16384
	// zeroesMax is how many such requests of a volume are under way. A trim may
	// be of the whole volume, and each of them is a thousand chunks for every disk
	// that it reaches: more at once would gain nothing and hold up all others.
	zeroesMax = 4
)

// zeroing is what is to be zeroed, in the order in which it was asked for.
type zeroing struct {
	underWay int
	waiting  []zero
}

// zero is the part of an operation that its coordinator was not asked for yet.
type zero struct {
	op      *Operation
	at, end int64 // blocks
}

// queueZero starts an operation that zeroes, a few parts at a time.
func (v *Volume) queueZero(op *Operation) {
	size := int64(v.host.params.BlockSize)
	v.mu.Lock()
	v.zeroing.waiting = append(v.zeroing.waiting, zero{op: op, at: op.Offset / size, end: (op.Offset + op.Length) / size})
	v.mu.Unlock()
	v.startZeroes()
}

// zeroed makes room for the next part.
func (v *Volume) zeroed() {
	v.mu.Lock()
	v.zeroing.underWay--
	v.mu.Unlock()
	v.startZeroes()
}

// startZeroes asks for as many parts as may be under way. Of an operation that
// failed no more is asked for.
func (v *Volume) startZeroes() {
	for {
		switch op, r, dropped := v.nextZero(); {
		case op == nil:
			return
		case dropped > 0:
			v.settled(op, dropped)
		default:
			ev := step.Event{Kind: step.EventRequest, Request: step.Request{ID: v.addPart(op, 0), Kind: op.Kind, FUA: op.FUA, Range: r}}
			op.mark(&ev.Request, int64(v.host.params.BlockSize))
			v.shard.deliver(&ev, nil)
		}
	}
}

// nextZero takes the next part, or drops all that are left of an operation.
func (v *Volume) nextZero() (op *Operation, r block.Range, dropped int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	z := &v.zeroing
	if len(z.waiting) == 0 || z.underWay >= zeroesMax {
		return nil, block.Range{}, 0
	}
	first := &z.waiting[0]
	op = first.op
	if op.failed.Load() != 0 {
		dropped = zeroParts(first.end - first.at)
		first.at = first.end
	} else {
		r = block.Range{First: block.Block(first.at), Count: uint32(min(first.end-first.at, zeroMax))}
		first.at += int64(r.Count)
		z.underWay++
	}
	if first.at == first.end {
		z.waiting = slices.Delete(z.waiting, 0, 1)
	}
	return op, r, dropped
}

// zeroParts returns of how many parts the zeroing of so many blocks is.
func zeroParts(blocks int64) int { return int((blocks + zeroMax - 1) / zeroMax) }
