package coordinator

import (
	"math/bits"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// A block of the head that a member cannot give any more is written anew by the
// stream itself, as if a client had written what it says:
//
//	found by a read, or by the member ──▶ waits for its range, as a write does
//	──▶ the member is asked again ──▶ another one's good copy ──▶ WRITE, to all
//
// Its range is locked from before the reads until all have the write: nothing
// newer can come in between and be overwritten. Who asks again may find that it
// was written meanwhile, or that the disk only blundered: then nothing is done.
// What nobody can answer now is tried again. What no member has is looked for again
// now and then, and given to all once one of them has it.
//
// Nobody writes to a snapshot. What a member has lost of one it is given alone, by
// a REPAIR, and takes only if it is still lost there:
//
//	──▶ the member is asked again ──▶ another one's good copy ──▶ REPAIR, to the member

const (
	repairsMax = 4    // under way at a time: foreground I/O goes first
	woundsMax  = 1024 // chunks that wait for it; others are found again
	// mendAgain is when a repair is tried again that cannot be made now.
	mendAgain = time.Second
)

// wound is what a member cannot give of a chunk.
type wound struct {
	member *member
	layer  block.LayerID // a snapshot, 0: the head
	chunk  block.Chunk
	blocks uint16
	after  step.Time // not before
}

// repairs is what waits to be repaired.
type repairs struct {
	wounds   []wound
	underWay int
}

// wounded notes that a member cannot give blocks of a chunk.
func (c *Coordinator) wounded(found wound) {
	r := &c.repairs
	if found.blocks == 0 || c.phase > serving || uint64(found.chunk.First()) >= c.growth.usable {
		return
	}
	for i := range r.wounds {
		if w := &r.wounds[i]; w.member == found.member && w.layer == found.layer && w.chunk == found.chunk {
			w.blocks |= found.blocks
			return
		}
	}
	if len(r.wounds) < woundsMax {
		r.wounds = append(r.wounds, found)
	}
}

// beginRepairs puts repairs in line with the requests of the device, block by
// block: one that no member has must not keep its neighbours from being repaired.
// Those of a member that was away wait until it counts again.
func (c *Coordinator) beginRepairs(out *step.Effects) {
	r := &c.repairs
	for r.underWay < repairsMax && c.phase == serving {
		first := slices.IndexFunc(r.wounds, func(w wound) bool { return w.after <= c.now && c.valid(w.member) })
		if first < 0 {
			return
		}
		w := &r.wounds[first]
		at := bits.TrailingZeros16(w.blocks)
		request := step.Request{Kind: step.WriteRequest, Layer: w.layer, Range: block.Range{First: w.chunk.First() + block.Block(at), Count: 1}}
		if w.layer != 0 {
			request.Kind = step.ReadRequest
		}
		i := c.ops.add(&request)
		c.ops.slots[i].suspect = w.member
		if r.underWay++; repairUnlocked {
			out.Marks.Hit("mutant: repair unlocked")
			c.start(i, out)
		} else {
			c.ops.waiting = append(c.ops.waiting, i)
		}
		if w.blocks &^= 1 << at; w.blocks == 0 {
			r.wounds = slices.Delete(r.wounds, first, first+1)
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
		if o.Layer == 0 {
			c.seen(o.Range, o.suspect)
		}
		c.endRepair(i)
		return
	}
	o.donor = o.asked
	if o.Layer != 0 {
		c.mend(i, msg, out)
		return
	}
	o.Payload = msg.Payload
	c.startWrite(i, out)
}

// mend gives the member that is suspected what it has lost of a snapshot.
func (c *Coordinator) mend(i int32, msg *message.Message, out *step.Effects) {
	o := &c.ops.slots[i]
	if !c.valid(o.suspect) {
		msg.Payload.Release()
		c.giveUpRepair(i, out)
		return
	}
	o.state, o.asked = opMending, o.suspect
	o.generation++
	c.send(o.suspect, message.Message{
		Kind: message.Repair, Request: c.ops.token(i), Layer: o.Layer, Range: o.Range, Checksums: msg.Checksums, Payload: msg.Payload,
	}, out)
}

// onMended takes the member's answer to a REPAIR.
func (c *Coordinator) onMended(m *member, i int32, msg *message.Message, out *step.Effects) {
	o := &c.ops.slots[i]
	switch {
	case o.suspect != m:
		return
	case msg.Status == message.OK:
		c.repaired(i, step.RequestOK, out)
	case msg.Status == message.BehindSeq:
		out.Marks.Hit("coordinator: repair of a snapshot tried again")
		again := c.again(o)
		c.endRepair(i)
		c.wounded(again)
	default:
		c.repaired(i, step.RequestRefused, out)
	}
	c.startWaiting(out)
}

// forgetWounds drops what waits to be repaired of members that are none any more.
func (c *Coordinator) forgetWounds() {
	c.repairs.wounds = slices.DeleteFunc(c.repairs.wounds, func(w wound) bool { return !slices.Contains(c.members, w.member) })
}

// giveUpMending ends the repairs of snapshots that m was asked for: its connection
// is lost. It says again what it lacks when it is back.
func (c *Coordinator) giveUpMending(m *member, out *step.Effects) {
	for k := len(c.ops.active) - 1; k >= 0; k-- {
		if i := c.ops.active[k]; c.ops.slots[i].state == opMending && c.ops.slots[i].suspect == m {
			c.giveUpRepair(i, out)
		}
	}
}

// giveUpRepair ends a repair that nobody can answer now, or ever. A scrub says only
// once what it found: where somebody may yet have the block it is tried again.
func (c *Coordinator) giveUpRepair(i int32, out *step.Effects) {
	o := &c.ops.slots[i]
	lost := o.bad != 0 && c.allBad(o)
	switch {
	case lost && o.Layer == 0:
		c.lose(o.Range)
	case !lost && slices.Contains(c.members, o.suspect):
		out.Marks.Hit("coordinator: repair put off")
		c.wounded(c.again(o))
	}
	c.endRepair(i)
}

// again returns what has a repair tried once more, a little later.
func (c *Coordinator) again(o *op) wound {
	return wound{member: o.suspect, layer: o.Layer, chunk: o.Range.First.Chunk(), blocks: maskOf(o.Range), after: c.now.Add(mendAgain)}
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
