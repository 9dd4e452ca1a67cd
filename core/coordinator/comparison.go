package coordinator

import (
	"math/bits"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// comparison compares what the members hold, chunk by chunk, by checksums that each makes
// of what it reads from its disk:
//
//	next chunk ──▶ waits for its range, as a read does ──▶ every valid member is asked ──▶ compared
//
// Writes to other places go on meanwhile. A chunk that a member cannot read is no
// difference: what is lost of it is written anew from a good copy as if a read had found
// it, and the next comparison has it. Blocks that differ are reported and left as they are:
// all members vouch for theirs.
type comparison struct {
	report  volume.Comparison
	going   bool
	layers  []block.LayerID // the volume itself, then its snapshots
	layer   int             // of layers
	next    block.Chunk
	running []comparing
	toldAt  step.Time
}

// comparing is a chunk that is being compared.
type comparing struct {
	op    int32 // its slot; it holds the range once members are asked
	asked []answerOf
	at    step.Time
}

// answerOf is what a member was asked for and has answered.
type answerOf struct {
	member   *member
	answered bool
	sums     block.Checksums
	bad      bool // it cannot read all of it, or has it no more
}

const (
	comparingMax    = 4               // chunks at a time: foreground I/O goes first
	compareAgain    = 2 * time.Second // a chunk whose members do not all answer is begun anew
	compareTellsAt  = time.Second
	waitsForASecond = "fewer than two copies are in sync"
)

// onCompare begins to compare the members, or ends that.
func (c *Coordinator) onCompare(end bool, out *step.Effects) {
	k := &c.comparison
	switch {
	case end:
		c.endComparison(out)
		return
	case k.going || c.phase != serving:
		return
	}
	*k = comparison{going: true, layers: []block.LayerID{0}}
	if list := c.snapshots.list; list != nil {
		for i := range list.List {
			if list.List[i].State == volume.SnapshotReady {
				k.layers = append(k.layers, list.List[i].Layer)
			}
		}
	}
	k.report.Total = uint64(len(k.layers)) * c.chunks()
	c.driveComparison(out)
}

// chunks is how many chunks the volume has.
func (c *Coordinator) chunks() uint64 { return (c.growth.usable + block.PerChunk - 1) / block.PerChunk }

// driveComparison begins with further chunks, begins those anew whose members do not
// answer, and tells how far it is. Level-triggered.
func (c *Coordinator) driveComparison(out *step.Effects) {
	k := &c.comparison
	if !k.going {
		return
	}
	if c.phase != serving {
		c.endComparison(out)
		return
	}
	for i := range k.running {
		if r := &k.running[i]; len(r.asked) > 0 && (c.now.Sub(r.at) >= compareAgain || !c.allValid(r.asked)) || c.ops.slots[r.op].state == opComparing && len(r.asked) == 0 {
			c.askSums(r, out)
		}
	}
	for len(k.running) < comparingMax && k.layer < len(k.layers) {
		at := block.Range{First: k.next.First(), Count: uint32(min(block.PerChunk, c.growth.usable-uint64(k.next.First())))}
		i := c.ops.add(&step.Request{Kind: step.ReadRequest, Layer: k.layers[k.layer], Range: at})
		c.ops.slots[i].compares = true
		k.running = append(k.running, comparing{op: i})
		if k.next++; uint64(k.next) >= c.chunks() {
			k.layer, k.next = k.layer+1, 0
		}
		c.ops.waiting = append(c.ops.waiting, i)
	}
	c.startWaiting(out)
	if c.now.Sub(k.toldAt) >= compareTellsAt {
		c.tellComparison(out)
	}
}

func (c *Coordinator) allValid(asked []answerOf) bool {
	return !slices.ContainsFunc(asked, func(a answerOf) bool { return !c.valid(a.member) })
}

// startComparing asks the members about a chunk whose range is locked.
func (c *Coordinator) startComparing(i int32, out *step.Effects) {
	c.ops.slots[i].state = opComparing
	if r := c.comparison.of(i); r != nil {
		c.askSums(r, out)
	}
}

func (k *comparison) of(op int32) *comparing {
	for i := range k.running {
		if k.running[i].op == op {
			return &k.running[i]
		}
	}
	return nil
}

// askSums asks every valid member for its checksums of a chunk. With fewer than two there
// is nothing to compare now.
func (c *Coordinator) askSums(r *comparing, out *step.Effects) {
	o := &c.ops.slots[r.op]
	r.asked, r.at = r.asked[:0], c.now
	o.generation++ // an answer to an earlier try is not for this one
	for _, m := range c.members {
		if c.valid(m) {
			r.asked = append(r.asked, answerOf{member: m})
		}
	}
	if c.comparison.report.Waits = ""; len(r.asked) < 2 {
		c.comparison.report.Waits, r.asked = waitsForASecond, r.asked[:0]
		return
	}
	for i := range r.asked {
		c.send(r.asked[i].member, message.Message{
			Kind: message.Checksum, Request: c.ops.token(r.op), Layer: o.Layer, Range: o.Range, Seq: c.committed,
		}, out)
	}
}

// onSums takes a member's checksums.
func (c *Coordinator) onSums(m *member, i int32, msg *message.Message, out *step.Effects) {
	r := c.comparison.of(i)
	if r == nil {
		return
	}
	at := slices.IndexFunc(r.asked, func(a answerOf) bool { return a.member == m && !a.answered })
	if at < 0 {
		return
	}
	o, a := &c.ops.slots[i], &r.asked[at]
	switch msg.Status {
	case message.OK:
	case message.Corrupt, message.DiskFailed:
		a.bad = true
		c.comparison.report.Damaged++
		c.wounded(wound{member: m, layer: o.Layer, chunk: o.Range.First.Chunk(), blocks: msg.Bad()})
	case message.WrongState:
		if o.Layer != 0 { // the snapshot was deleted meanwhile
			a.bad = true
			break
		}
		return // it is asked again
	default:
		return // likewise
	}
	a.answered, a.sums = true, msg.Checksums
	if slices.ContainsFunc(r.asked, func(a answerOf) bool { return !a.answered }) {
		return
	}
	c.compared(r, out)
}

// compared holds the answers of all members against each other.
func (c *Coordinator) compared(r *comparing, out *step.Effects) {
	k, o := &c.comparison, &c.ops.slots[r.op]
	found := volume.Difference{Layer: o.Layer, Chunk: o.Range.First.Chunk()}
	for b := range int(o.Range.Count) {
		var first *answerOf
		for i := range r.asked {
			switch a := &r.asked[i]; {
			case a.bad:
			case first == nil:
				first = a
			case a.sums[b] != first.sums[b]:
				found.Blocks |= 1 << b
			}
		}
	}
	if found.Blocks != 0 {
		out.Marks.Hit("coordinator: copies differ")
		k.report.Blocks += uint64(bits.OnesCount16(found.Blocks))
		b := bits.TrailingZeros16(found.Blocks)
		for i := range r.asked {
			if r.asked[i].bad { // it was not compared
				continue
			}
			m := r.asked[i].member
			found.Copies = append(found.Copies, volume.CopySum{Replica: m.Replica, Node: m.Node, Sum: r.asked[i].sums[b]})
		}
		if len(k.report.Places) < volume.DifferencesMax {
			k.report.Places = append(k.report.Places, found)
		}
	}
	k.report.Done++
	i := r.op
	k.running = slices.DeleteFunc(k.running, func(other comparing) bool { return other.op == i })
	c.ops.release(i)
	if len(k.running) == 0 && k.layer == len(k.layers) {
		out.Marks.Hit("coordinator: all copies compared")
		k.report.Ended = true
		c.endComparison(out)
	} else {
		c.driveComparison(out)
	}
	c.startWaiting(out)
}

// endComparison lets go of what is being compared and tells how far it came.
func (c *Coordinator) endComparison(out *step.Effects) {
	k := &c.comparison
	if !k.going {
		return
	}
	k.going = false
	for _, r := range k.running {
		c.ops.waiting = slices.DeleteFunc(c.ops.waiting, func(i int32) bool { return i == r.op })
		c.ops.release(r.op)
	}
	k.running = nil
	c.tellComparison(out)
	c.startWaiting(out)
}

// tellComparison hands a copy of the report to the body.
func (c *Coordinator) tellComparison(out *step.Effects) {
	k := &c.comparison
	k.toldAt = c.now
	report := k.report
	report.Places = slices.Clone(report.Places)
	out.Controls = append(out.Controls, step.Control{
		Kind: step.VolumeCompared, Volume: c.p.Volume, Session: c.session, Force: !k.going, Comparison: &report,
	})
}
