package replica

import (
	"cmp"
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
)

// rottenMax is how many chunks with lost blocks are remembered: what is beyond
// that the next scrub finds again.
const rottenMax = 4096

// onRotten tells the coordinator what a scrub found lost, now and with every
// promise until it is overwritten or repaired: the volume may not be attached.
func (r *Replica) onRotten(res *store.Result, out *step.Effects) {
	at := layerChunk{res.Layer, res.Content.Chunk}
	if _, known := r.rotten[at]; !known && len(r.rotten) >= rottenMax {
		return
	}
	if r.rotten == nil {
		r.rotten = make(map[layerChunk]uint16)
	}
	r.rotten[at] |= res.Bad
	if l := r.stream(); l != nil {
		r.tellRotten(l, at, out)
	}
}

func (r *Replica) tellAllRotten(l *link, out *step.Effects) {
	if l.purpose != message.Stream {
		return
	}
	all := slices.SortedFunc(maps.Keys(r.rotten), func(a, b layerChunk) int {
		return cmp.Or(cmp.Compare(a.layer, b.layer), cmp.Compare(a.chunk, b.chunk))
	})
	for _, at := range all {
		if at.layer != 0 && !r.store.HasLayer(r.handle, at.layer) {
			delete(r.rotten, at) // so is what it had
			continue
		}
		r.tellRotten(l, at, out)
	}
}

func (r *Replica) tellRotten(l *link, at layerChunk, out *step.Effects) {
	out.Send(l.conn, message.Message{
		Kind: message.Rotten, Era: r.meta.Promised, Layer: at.layer, Chunk: at.chunk, Present: r.rotten[at], Zero: r.rotten[at],
	})
}

// onRepair takes what another copy has of a block that a snapshot here may have lost.
func (r *Replica) onRepair(now step.Time, l *link, m *message.Message, out *step.Effects) {
	token := r.requests.add(request{conn: l.conn, request: m.Request, kind: m.Kind, era: m.Era, layer: m.Layer, rng: m.Range})
	r.store.Repair(now, r.handle, m.Layer, m.Range.First, m.Checksums[0], m.Payload, token, out)
}

func (r *Replica) onRepairDone(res *store.Result, out *step.Effects) {
	if q, known := r.requests.peek(res.Token); known && res.Status == message.OK {
		r.forget(layerChunk{q.layer, q.rng.First.Chunk()}, maskOf(q.rng.First.Offset(), 1))
	}
	r.answerDone(res, out)
}

// forgetRotten notes that blocks are overwritten.
func (r *Replica) forgetRotten(rng block.Range) {
	for b := rng.First; len(r.rotten) > 0 && b < rng.End(); {
		end := min(rng.End(), b.Chunk().First()+block.PerChunk)
		r.forget(layerChunk{0, b.Chunk()}, maskOf(b.Offset(), int(end-b)))
		b = end
	}
}

func (r *Replica) forget(at layerChunk, mask uint16) {
	if left := r.rotten[at] &^ mask; left != 0 {
		r.rotten[at] = left
	} else {
		delete(r.rotten, at)
	}
}
