package replica

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// request is what the store's result with the matching token is answered to.
type request struct {
	conn    step.Conn
	request uint64 // the asking side's number
	kind    message.Kind
	era     block.Epoch
	layer   block.LayerID // of a Repair
	rng     block.Range
	meta    bool // it counts in Replica.metaPending
}

// requestTable holds requests by token: slots that are used again, told apart
// by a generation, so that a request costs no allocation.
type requestTable struct {
	slots []requestSlot
	free  []uint32
}

type requestSlot struct {
	request
	generation uint32
	used       bool
}

func (t *requestTable) add(q request) (token uint64) {
	if len(t.free) == 0 {
		t.free = append(t.free, uint32(len(t.slots)))
		t.slots = append(t.slots, requestSlot{})
	}
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	s := &t.slots[i]
	s.generation++
	s.request, s.used = q, true
	return uint64(s.generation)<<32 | uint64(i)
}

// peek returns the request of token and keeps it.
func (t *requestTable) peek(token uint64) (request, bool) {
	i, generation := uint32(token), uint32(token>>32)
	if int(i) >= len(t.slots) || !t.slots[i].used || t.slots[i].generation != generation {
		return request{}, false
	}
	return t.slots[i].request, true
}

// take returns the request of token and frees its slot.
func (t *requestTable) take(token uint64) (request, bool) {
	q, known := t.peek(token)
	if known {
		t.slots[uint32(token)].used = false
		t.free = append(t.free, uint32(token))
	}
	return q, known
}
