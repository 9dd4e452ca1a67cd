package format

import "github.com/lagan-storage/lagan/core/block"

// layerSize is the place of a Layer in a page of the layer table.
const layerSize = 120

// Layer is one entry of the layer table: a map from chunk to descriptor.
type Layer struct {
	Number uint32 // its name on this disk, never reused; always above its parent's
	Parent uint32 // who decides about the blocks that it has not; 0: they read as zeroes
	Owner  uint32 // the replica whose head or snapshot it is; 0: nobody's any more
	Doomed bool   // it goes as soon as its children, and what of it is not at home, allow
	Freed  bool   // only Tree and Blocks count: its slots are being freed
	Down   bool   // chunks move from Tree to Under, not the other way
	ID     block.LayerID
	Blocks uint64
	Closed block.Position // of the record that closed it; none of a head
	Tree   Tree
	Under  Tree   // of a layer that was merged into it, as far as it is not emptied; Height 0: none
	Reach  uint64 // the blocks of the volume that Under was made for
}

// Tree is the map of a layer.
type Tree struct {
	Height uint8  // interior levels under Root
	Used   uint64 // slots
	Root   Child
}

func (l *Layer) encode(b []byte) {
	clear(b[:layerSize])
	le.PutUint32(b, l.Number)
	le.PutUint32(b[4:], l.Parent)
	le.PutUint32(b[8:], l.Owner)
	for bit, set := range []bool{l.Doomed, l.Freed, l.Down} {
		if set {
			b[12] |= 1 << bit
		}
	}
	b[13], b[14] = l.Tree.Height, l.Under.Height
	le.PutUint64(b[16:], uint64(l.ID))
	le.PutUint64(b[24:], l.Blocks)
	le.PutUint64(b[32:], uint64(l.Closed.Era))
	le.PutUint64(b[40:], uint64(l.Closed.Seq))
	le.PutUint64(b[48:], l.Reach)
	le.PutUint64(b[56:], l.Tree.Used)
	l.Tree.Root.encode(b[64:])
	le.PutUint64(b[88:], l.Under.Used)
	l.Under.Root.encode(b[96:])
}

func (l *Layer) decode(b []byte) {
	*l = Layer{
		Number: le.Uint32(b), Parent: le.Uint32(b[4:]), Owner: le.Uint32(b[8:]),
		Doomed: b[12]&1 != 0, Freed: b[12]&2 != 0, Down: b[12]&4 != 0,
		ID: block.LayerID(le.Uint64(b[16:])), Blocks: le.Uint64(b[24:]), Reach: le.Uint64(b[48:]),
		Closed: block.Position{Era: block.Epoch(le.Uint64(b[32:])), Seq: block.Seq(le.Uint64(b[40:]))},
		Tree:   Tree{Height: b[13], Used: le.Uint64(b[56:])},
		Under:  Tree{Height: b[14], Used: le.Uint64(b[88:])},
	}
	l.Tree.Root.decode(b[64:])
	l.Under.Root.decode(b[96:])
}

// sound reports whether a store can have written the entry: a layer that is
// nobody's goes, and so has an id and no head of its own.
func (l *Layer) sound() bool {
	if l.Tree.Height == 0 || l.Tree.Height > HeightMax || l.Under.Height > HeightMax || l.Reach > l.Blocks {
		return false
	}
	return l.Freed || l.Number > l.Parent && (l.Owner != 0 || l.Doomed) && (l.ID != 0 || !l.Doomed)
}

// EncodeLayers writes at most TableLayers entries into the body of a page of
// the layer table.
func EncodeLayers(page []byte, layers []Layer) {
	clear(page[pageHead:PageSize])
	for i := range layers {
		layers[i].encode(page[pageHead+i*layerSize:])
	}
}

// DecodeLayers appends the count entries of a page of the layer table to list.
func DecodeLayers(body []byte, count int, list []Layer) ([]Layer, error) {
	if count > TableLayers {
		return list, ErrContent
	}
	for i := range count {
		var l Layer
		l.decode(body[i*layerSize:])
		if !l.sound() {
			return list, ErrContent
		}
		list = append(list, l)
	}
	return list, nil
}
