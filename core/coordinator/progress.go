package coordinator

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// paceSpan is over how long the pace of a resync is taken at least: shorter than
// people wait before they look again, longer than one checkpoint of a disk holds it up.
const paceSpan = 10 * time.Second

// progress is how far a resync is, in chunks. The source lists what changed page by
// page, so what a pass has not listed yet is estimated: as dense as what it has.
type progress struct {
	copied  uint64 // by all passes
	listed  uint64 // by this pass
	first   int    // of the strata that this pass lists
	reached uint64 // of the layer that is being listed
	pace    [2]mark
}

// mark is how much was copied at one moment.
type mark struct {
	at     step.Time
	copied uint64
}

func (p *progress) begin(now step.Time) { p.pace = [2]mark{{at: now}, {at: now}} }

func (p *progress) beginPass(layer int) { p.listed, p.first, p.reached = 0, layer, 0 }

// page takes one page of a list.
func (p *progress) page(msg *message.Message) {
	p.listed += uint64(len(msg.Changes))
	switch n := len(msg.Changes); {
	case msg.Cursor == 0:
		p.reached = 0 // of the next layer
	case n > 0:
		p.reached = uint64(msg.Changes[n-1].Chunk) + 1
	}
}

// keepPace moves the older mark on, so that it is one to two spans behind.
func (p *progress) keepPace(now step.Time) {
	if now.Sub(p.pace[1].at) >= paceSpan {
		p.pace = [2]mark{p.pace[1], {at: now, copied: p.copied}}
	}
}

// Fill returns how far the copy is that is being filled now, if one is.
func (c *Coordinator) Fill() (fill volume.Fill, filling bool) {
	r := c.resync
	if r == nil {
		return fill, false
	}
	p := &r.progress
	fill.Replica, fill.Done = r.target.Replica, chunkBytes(p.copied)
	if r.passes > 0 {
		fill.Total = chunkBytes(p.copied + uint64(len(r.listed)+r.inFlight) + c.unlisted())
	}
	if span, copied := c.now.Sub(p.pace[0].at), p.copied-p.pace[0].copied; span > 0 {
		fill.Rate = int64(float64(chunkBytes(copied)) / span.Seconds())
	}
	if fill.Rate > 0 {
		fill.Left = time.Duration(float64(fill.Total-fill.Done) / float64(fill.Rate) * float64(time.Second)).Round(time.Second)
	}
	return fill, true
}

// unlisted estimates how many chunks the rest of this pass will list.
func (c *Coordinator) unlisted() uint64 {
	r := c.resync
	layer := (c.config.Blocks + block.PerChunk - 1) / block.PerChunk
	seen := uint64(r.layer-r.progress.first)*layer + r.progress.reached
	all := uint64(len(r.strata.layers)-r.progress.first) * layer
	if seen == 0 || seen >= all {
		return 0
	}
	return uint64(float64(r.progress.listed) * float64(all-seen) / float64(seen))
}

func chunkBytes(chunks uint64) int64 { return int64(chunks) * block.PerChunk * block.Size }
