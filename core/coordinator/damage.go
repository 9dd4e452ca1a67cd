package coordinator

import (
	"math/bits"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

const (
	damageEvery = time.Second // between two reports of one session: a disk that dies has thousands
	lostMax     = 4096        // chunks with blocks that no member has; more are not counted
	// lostAgain is when the next chunk with such blocks is looked for again. With
	// few of them that is soon, and with thousands it costs a dying disk little.
	lostAgain = 10 * time.Second
)

// damage counts the blocks that members did not give as they had been written.
type damage struct {
	total     uint64                 // repaired since the session began
	lost      map[block.Chunk]uint16 // blocks that no member in sync has and nobody has overwritten
	lostCount int
	sought    block.Chunk // of lost: the last one that was looked for again
	soughtAt  step.Time
	due       []volume.Damage // to be told, one a disk
	toldLost  int
	toldAt    step.Time
}

// Damage returns how many blocks were written anew from another copy since the
// session began, and how many have no good copy that are known of.
func (c *Coordinator) Damage() (repaired uint64, lost int) { return c.damage.total, c.damage.lostCount }

// repaired notes that a block was written anew.
func (d *damage) repaired(o *op) {
	d.total++
	for i := range d.due {
		if d.due[i].Disk == o.suspect.Disk {
			d.due[i].Repaired++
			return
		}
	}
	d.due = append(d.due, volume.Damage{
		Disk: o.suspect.Disk, Node: o.suspect.Node, Source: o.donor.Node, First: o.Range.First, Repaired: 1,
	})
}

// lose notes that no member in sync can give a block.
func (c *Coordinator) lose(r block.Range) {
	d := &c.damage
	chunk := r.First.Chunk()
	if d.lost == nil {
		d.lost = make(map[block.Chunk]uint16)
	}
	if len(d.lost) == 0 {
		d.soughtAt = c.now
	}
	before, known := d.lost[chunk]
	if !known && len(d.lost) >= lostMax {
		return
	}
	d.lost[chunk] = before | maskOf(r)
	d.lostCount += bits.OnesCount16(d.lost[chunk]) - bits.OnesCount16(before)
}

// seen notes that a member gave a range. What no member had of it the others lack
// still: they are given it.
func (c *Coordinator) seen(r block.Range, at *member) {
	d := &c.damage
	for chunk := r.First.Chunk(); len(d.lost) > 0 && chunk.First() < r.End(); chunk++ {
		lacked := d.lost[chunk] & maskIn(chunk, r)
		for _, m := range c.members {
			if lacked != 0 && m != at && m.State == volume.InSync {
				c.wounded(wound{member: m, chunk: chunk, blocks: lacked})
			}
		}
	}
	d.there(r)
}

// there notes that a range has content again: it was overwritten, or read.
func (d *damage) there(r block.Range) {
	for chunk := r.First.Chunk(); len(d.lost) > 0 && chunk.First() < r.End(); chunk++ {
		before, known := d.lost[chunk]
		if !known {
			continue
		}
		left := before &^ maskIn(chunk, r)
		d.lostCount -= bits.OnesCount16(before) - bits.OnesCount16(left)
		if d.lost[chunk] = left; left == 0 {
			delete(d.lost, chunk)
		}
	}
}

// seekLost has all members asked again for what no one had of a chunk. One may have
// it since: a volume that shares a layer with this one on the member's disk had it
// repaired there, or the disk gives what it did not. Who has it mends the others.
func (c *Coordinator) seekLost(out *step.Effects) {
	d := &c.damage
	if len(d.lost) == 0 || c.now.Sub(d.soughtAt) < lostAgain || c.phase != serving {
		return
	}
	out.Marks.Hit("coordinator: lost blocks looked for again")
	first, next := block.Chunk(0), block.Chunk(0)
	anyFirst, anyNext := false, false
	for chunk := range d.lost { // any order: the least is taken, of those behind the last one if there are any
		if !anyFirst || chunk < first {
			first, anyFirst = chunk, true
		}
		if chunk > d.sought && (!anyNext || chunk < next) {
			next, anyNext = chunk, true
		}
	}
	if !anyNext {
		next = first
	}
	d.sought, d.soughtAt = next, c.now
	for _, m := range c.members {
		if c.valid(m) {
			c.wounded(wound{member: m, chunk: next, blocks: d.lost[next]})
		}
	}
	c.startWaiting(out)
}

// maskOf returns the blocks of its chunk that a range covers.
func maskOf(r block.Range) uint16 { return maskIn(r.First.Chunk(), r) }

// maskIn returns the blocks of a chunk that a range covers.
func maskIn(chunk block.Chunk, r block.Range) uint16 {
	first, end := max(chunk.First(), r.First), min((chunk+1).First(), r.End())
	return uint16((uint32(1)<<(end-first) - 1) << first.Offset())
}

// tellDamage reports what was found since it last did.
func (c *Coordinator) tellDamage(out *step.Effects) {
	d := &c.damage
	if len(d.due) == 0 && d.lostCount == d.toldLost || c.now.Sub(d.toldAt) < damageEvery && d.toldAt != 0 {
		return
	}
	d.toldAt, d.toldLost = c.now, d.lostCount
	out.Controls = append(out.Controls, step.Control{
		Kind: step.VolumeDamaged, Volume: c.p.Volume, Session: c.session, Damage: d.due, Lost: d.lostCount,
	})
	d.due = nil // handed over
}
