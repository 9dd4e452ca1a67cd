package sim

import (
	"cmp"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// A volume of a plan may begin with fewer blocks than it is to have. Clients have it
// grow bit by bit and use what it has by then, as far as its coordinator said so; when
// the world heals, people ask for all of it. To the models it has all its blocks from
// the beginning: those that are not there yet read as never written once they are.

// drawGrowth has the volumes grow in a fifth of the runs. It comes after all other
// draws. Disks that fill up are left alone.
func (p *Plan) drawGrowth() {
	s := newStream(p.Seed, "growth", 0)
	if p.Grows = s.oneIn(5) && !p.Full; !p.Grows {
		return
	}
	for i := range p.Volumes {
		v := &p.Volumes[i]
		v.Blocks = block.PerChunk * s.between(2, 6)
		v.First = s.between(1, v.Blocks-1)
		v.Hot = s.between(v.First, v.Blocks)
	}
}

// first is how many blocks the volume begins with.
func (p *VolumePlan) first() int { return cmp.Or(p.First, p.Blocks) }

// grow asks a node to have the volume grow to a size that follows from the blocks that
// were drawn.
func (c *client) grow(_ *operation, o Operation) {
	w, v := c.world, c.volume
	has := int(v.config.Blocks)
	steps := (v.plan.Blocks - has + block.PerChunk - 1) / block.PerChunk
	if w.healed || steps == 0 {
		return
	}
	c.note(&o)
	pick := scramble(uint64(o.Range.First)<<32 ^ uint64(o.Range.Count)<<16 ^ uint64(has))
	chunks := has/block.PerChunk + 1 + int(pick%uint64(steps))
	if to := w.bodies[scramble(pick)%uint64(len(w.bodies))]; to.life != 0 {
		w.operator.enlarge(to, v, min(chunks*block.PerChunk, v.plan.Blocks))
	}
}

func (o *operator) enlarge(to *body, v *volumeState, blocks int) {
	size := int64(blocks) * int64(o.world.plan.BlockSize)
	o.send(to, volume.Command{Kind: volume.SetVolume, Name: v.name, Spec: volume.Spec{Size: size}})
}

// growAll asks, in a healed world, for all the blocks of the volumes that are to have
// more than they have: again and again, for a node may die over a command.
func (o *operator) growAll() {
	w := o.world
	if !w.plan.Grows || !w.healed || w.now < o.grown+int64(time.Second) {
		return
	}
	o.grown = w.now
	for _, v := range w.volumes {
		if int(v.config.Blocks) == v.plan.Blocks || v.deleting || v.lost() {
			continue
		}
		if to := w.bodies[o.hands.below(len(w.bodies))]; to.life != 0 {
			o.enlarge(to, v, v.plan.Blocks)
		}
	}
}

// isGrown reports whether a volume has all the blocks that it is to have, and its
// clients were told.
func (v *volumeState) isGrown() bool {
	return int(v.config.Blocks) == v.plan.Blocks && v.newest() != nil && v.newest().blocks == v.plan.Blocks
}

// sized takes how many blocks a coordinator says that its volume has. That is never
// more than is recorded, and no session says less than one before it.
func (w *World) sized(st *serving, c *step.Control) {
	v := st.volume
	st.blocks = int(c.Blocks)
	if v.config == nil {
		return // a short-lived volume
	}
	if c.Blocks > v.config.Blocks {
		w.fail("size", "%s says that %s has %d blocks, recorded are %d", st.shard, v.name, c.Blocks, v.config.Blocks)
	}
	if st.era < v.era || v.beyond {
		return // it was replaced and does not know
	}
	if st.blocks < v.told {
		w.fail("size", "%s says that %s has %d blocks, and it had %d", st.shard, v.name, st.blocks, v.told)
	}
	if st.blocks > v.told && v.told != 0 {
		w.counts.Grown++
	}
	v.told = st.blocks
}
