package replica

import (
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
// promise until it is overwritten: the volume may not be attached. What is lost of
// a snapshot shows in the head unless that has its own: whoever is told looks.
func (r *Replica) onRotten(res *store.Result, out *step.Effects) {
	chunk := res.Content.Chunk
	if _, known := r.rotten[chunk]; !known && len(r.rotten) >= rottenMax {
		return
	}
	if r.rotten == nil {
		r.rotten = make(map[block.Chunk]uint16)
	}
	r.rotten[chunk] |= res.Bad
	if l := r.stream(); l != nil {
		r.tellRotten(l, chunk, out)
	}
}

func (r *Replica) tellAllRotten(l *link, out *step.Effects) {
	if l.purpose != message.Stream {
		return
	}
	for _, chunk := range slices.Sorted(maps.Keys(r.rotten)) {
		r.tellRotten(l, chunk, out)
	}
}

func (r *Replica) tellRotten(l *link, chunk block.Chunk, out *step.Effects) {
	out.Send(l.conn, message.Message{
		Kind: message.Rotten, Era: r.meta.Promised, Chunk: chunk, Present: r.rotten[chunk], Zero: r.rotten[chunk],
	})
}

// forgetRotten notes that blocks are overwritten.
func (r *Replica) forgetRotten(rng block.Range) {
	for b := rng.First; len(r.rotten) > 0 && b < rng.End(); {
		c := b.Chunk()
		end := min(rng.End(), c.First()+block.PerChunk)
		if left := r.rotten[c] &^ maskOf(b.Offset(), int(end-b)); left != 0 {
			r.rotten[c] = left
		} else {
			delete(r.rotten, c)
		}
		b = end
	}
}
