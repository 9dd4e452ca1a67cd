package coordinator

import (
	"math/bits"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// A block that a member cannot give any more is written anew by the stream
// itself, as if a client had written what it says:
//
//	found by a read, or by the member ──▶ waits for its range, as a write does
//	──▶ the member is asked again ──▶ another one's good copy ──▶ WRITE, to all
//
// Its range is locked from before the reads until all have the write: nothing
// newer can come in between and be overwritten. Who asks again may find that it
// was written meanwhile, or that the disk only blundered: then nothing is done.
// What nobody can answer now is left: it is found again.

const (
	repairsMax = 4    // under way at a time: foreground I/O goes first
	woundsMax  = 1024 // chunks that wait for it; others are found again
)

// wound is what a member cannot give of a chunk.
type wound struct {
	member *member
	chunk  block.Chunk
	blocks uint16
}

// repairs is what waits to be repaired.
type repairs struct {
	wounds   []wound
	underWay int
}

// wounded notes that m cannot give blocks of a chunk.
func (c *Coordinator) wounded(m *member, chunk block.Chunk, blocks uint16) {
	r := &c.repairs
	if blocks == 0 || c.phase > serving || uint64(chunk.First()) >= c.config.Blocks {
		return
	}
	for i := range r.wounds {
		if w := &r.wounds[i]; w.member == m && w.chunk == chunk {
			w.blocks |= blocks
			return
		}
	}
	if len(r.wounds) < woundsMax {
		r.wounds = append(r.wounds, wound{member: m, chunk: chunk, blocks: blocks})
	}
}

// beginRepairs puts repairs in line with the requests of the device, block by
// block: one that no member has must not keep its neighbours from being repaired.
func (c *Coordinator) beginRepairs(out *step.Effects) {
	r := &c.repairs
	for len(r.wounds) > 0 && r.underWay < repairsMax && c.phase == serving {
		w := &r.wounds[0]
		at := bits.TrailingZeros16(w.blocks)
		i := c.ops.add(&step.Request{Kind: step.WriteRequest, Range: block.Range{First: w.chunk.First() + block.Block(at), Count: 1}})
		c.ops.slots[i].suspect = w.member
		if r.underWay++; repairUnlocked {
			out.Marks.Hit("mutant: repair unlocked")
			c.start(i, out)
		} else {
			c.ops.waiting = append(c.ops.waiting, i)
		}
		if w.blocks &^= 1 << at; w.blocks == 0 {
			r.wounds = slices.Delete(r.wounds, 0, 1)
		}
	}
}

// repairFrom picks the member that a repair asks: the one that is suspected, and
// once that has said again that its copy is bad, any other.
func (c *Coordinator) repairFrom(o *op, out *step.Effects) (*member, int) {
	if o.bad != 0 {
		return c.readFrom(o, out)
	}
	k := slices.Index(c.members, o.suspect)
	if k < 0 || o.tried != 0 || !c.valid(o.suspect) {
		return nil, 0
	}
	return o.suspect, k
}

// onRepairData takes what a repair reads: from the member that is suspected,
// which says that there is nothing to do, or from another, to be written.
func (c *Coordinator) onRepairData(i int32, msg *message.Message, out *step.Effects) {
	o := &c.ops.slots[i]
	if o.asked == o.suspect {
		out.Marks.Hit("coordinator: repair found nothing to do")
		msg.Payload.Release()
		c.endRepair(i)
		return
	}
	o.Payload, o.donor = msg.Payload, o.asked
	c.startWrite(i, out)
}

// giveUpRepair ends a repair that nobody can answer now, or ever.
func (c *Coordinator) giveUpRepair(i int32, out *step.Effects) {
	if o := &c.ops.slots[i]; o.bad != 0 && c.allBad(o) {
		c.lose(o.Range)
	} else {
		out.Marks.Hit("coordinator: repair given up")
	}
	c.endRepair(i)
}

// repaired ends a repair that was written, or for which there was no room.
func (c *Coordinator) repaired(i int32, result step.RequestError, out *step.Effects) {
	if o := &c.ops.slots[i]; result == step.RequestOK {
		out.Marks.Hit("coordinator: block repaired")
		c.damage.repaired(o)
	}
	c.endRepair(i)
}

// endRepair frees a repair's slot.
func (c *Coordinator) endRepair(i int32) {
	c.repairs.underWay--
	invariant.That(c.repairs.underWay >= 0, "a repair ends once")
	c.ops.release(i)
}
