package check

import (
	"cmp"
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/format"
)

// doubt is a finding about a layer that is being merged, which holds only if
// someone may read the blocks.
type doubt struct {
	layer *format.Layer
	under bool // in the tree of what was merged into it
	chunk block.Chunk
	slot  uint32
	bad   uint16
	why   string
}

// settle drops the doubts about blocks that nobody can read: a layer that is deleted,
// or was merged into another one, is read only where the one above has nothing. A
// store that died while they were merged has written there for the one above, and
// after its restart brought the same home to another slot.
func (d *data) settle() {
	if len(d.doubts) == 0 {
		return
	}
	chunks := make(map[block.Chunk][]*doubt)
	for i := range d.doubts {
		at := &d.doubts[i]
		chunks[at.chunk] = append(chunks[at.chunk], at)
	}
	above := d.above()
	d.im.walk(&Report{}, func(t *tables) {
		t.chunk = func(l *format.Layer, c block.Chunk, desc *format.Descriptor) {
			for _, at := range chunks[c] {
				if l.Number == at.layer.Number && at.under && !t.under || l.Number > at.layer.Number && readsThrough(above, l.Number, at.layer.Number) {
					at.bad &^= desc.Has()
				}
			}
		}
	})
	for i := range d.doubts {
		if d.doubts[i].bad != 0 {
			d.damaged(&d.doubts[i])
		}
	}
}

// above returns the layer that each deleted one is read through, if it is one. What
// stands on it and is deleted as well, with nothing on it that is read, is freed
// before the rest is merged: through that nobody reads.
func (d *data) above() map[uint32]uint32 {
	layers := slices.SortedFunc(slices.Values(d.tables.layers), func(a, b format.Layer) int { return cmp.Compare(b.Number, a.Number) })
	above, kids := make(map[uint32]uint32), make(map[uint32]int)
	for i := range layers { // each before what it stands on
		l := &layers[i]
		if read := !d.going[l.Number] || kids[l.Number] > 0; read && l.Parent != 0 && !l.Freed {
			kids[l.Parent]++
			above[l.Parent] = l.Number
		}
	}
	maps.DeleteFunc(above, func(l, _ uint32) bool { return kids[l] > 1 || !d.going[l] }) // any order: each is judged alone
	return above
}

// readsThrough reports whether layer is what the deleted one below is read through.
func readsThrough(above map[uint32]uint32, layer, below uint32) bool {
	for below != 0 && below < layer {
		below = above[below]
	}
	return below == layer
}
