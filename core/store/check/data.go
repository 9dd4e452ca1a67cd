package check

import (
	"maps"
	"math/bits"
	"slices"
	"strconv"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store/format"
)

// data compares blocks with their checksums. What the journal still has of a block
// may have gone home since the root was written: such a block is not compared, for
// either content is right, and the journal's copy was compared already.
type data struct {
	im     *Image
	report *Report
	homing map[place]uint16  // blocks that may have gone home
	merged map[place]uint16  // the same of all layers of a family, for those that may have been merged into the one above
	kin    map[uint32]uint32 // of a layer another one of its family with a lower number
	trees  map[uint32]uint32 // a layer of each replica's family
	going  map[uint32]bool   // layers that are deleted, in the root or by the journal
	mapped map[stream]*mapping
	heads  map[uint32]uint32                   // where each replica's records go; 0: into a layer that the root has not
	layers map[uint32]map[block.LayerID]uint32 // numbers of a replica's snapshots; 0: one that the root has not
	homes  map[uint32]uint32                   // heads, as the root has them
	below  map[uint32]uint32                   // whose snapshot a clone stands on that the root has not
	lost   map[string]int                      // blocks without a good copy, by layer
	tables *tables
	doubts []doubt
}

// place is a chunk of a layer.
type place struct {
	layer uint32
	chunk block.Chunk
}

// stream is a chunk of a replica.
type stream struct {
	handle uint32
	chunk  block.Chunk
}

// mapping is a chunk whose data was written to a slot that no root names yet.
type mapping struct {
	slot uint32
	sums block.Checksums
	mask uint16 // blocks that nothing has replaced since
}

func newData(im *Image, t *tables, j *Journal, r *Report) *data {
	d := &data{
		im: im, report: r, homing: make(map[place]uint16), merged: make(map[place]uint16), kin: make(map[uint32]uint32), going: make(map[uint32]bool), mapped: make(map[stream]*mapping),
		heads: make(map[uint32]uint32), layers: make(map[uint32]map[block.LayerID]uint32), below: make(map[uint32]uint32), lost: make(map[string]int),
		tables: t,
	}
	for i := range t.volumes {
		d.heads[t.volumes[i].Handle] = t.volumes[i].Head
		d.layers[t.volumes[i].Handle] = make(map[block.LayerID]uint32)
	}
	d.homes, d.trees = maps.Clone(d.heads), maps.Clone(d.heads)
	for i := range t.layers {
		l := &t.layers[i]
		d.going[l.Number] = d.going[l.Number] || l.Doomed
		d.relate(l.Number, l.Parent)
		d.relate(l.Number, d.homes[l.Owner])
		if l.ID != 0 && d.layers[l.Owner] != nil {
			d.layers[l.Owner][l.ID] = l.Number
		}
	}
	for i := range t.parked {
		d.record(&t.parked[i].Record)
	}
	for i := range j.Batches {
		for n := range j.Batches[i].Records {
			d.record(&j.Batches[i].Records[n])
		}
	}
	return d
}

// relate notes that two layers may be merged into the same one. 0 is none.
func (d *data) relate(a, b uint32) {
	if a, b = d.family(a), d.family(b); min(a, b) > 0 && a != b {
		d.kin[max(a, b)] = min(a, b)
	}
}

// family returns the lowest layer among those that may be merged with one.
func (d *data) family(layer uint32) uint32 {
	for d.kin[layer] != 0 {
		layer = d.kin[layer]
	}
	return layer
}

// record notes which blocks a record may have changed at home since the root.
func (d *data) record(rec *format.Record) {
	h := rec.Handle
	switch rec.Kind {
	case format.Create:
		d.layers[h] = make(map[block.LayerID]uint32)
		d.trees[h] = d.trees[rec.From]
		if rec.From < h { // always, but for damage
			d.below[h] = rec.From
		}
	case format.Snap, format.Open:
		d.closeHead(rec)
	case format.Truncate, format.Continue:
		d.heads[h] = d.homes[h] // a snapshot may be undone
		d.forget(h)
	case format.Reset, format.Delete:
		for _, number := range d.layers[h] { // any order: a set is filled
			d.going[number] = true
		}
		d.heads[h], d.homes[h], d.layers[h] = 0, 0, make(map[block.LayerID]uint32)
		d.forget(h)
	case format.DelSnap, format.Drop:
		d.going[d.layers[h][rec.Layer]] = true
	case format.Write, format.Resync, format.Map:
		d.content(rec)
	default:
	}
}

// closeHead notes that a record makes a replica's head a snapshot. One that may
// have had nothing to do leaves the head what it was.
func (d *data) closeHead(rec *format.Record) {
	h := rec.Handle
	layers := d.layers[h]
	if layers == nil {
		return // damage took its beginning
	}
	closed, known := layers[rec.Layer]
	if closed == 0 {
		layers[rec.Layer] = d.heads[h]
	}
	if known {
		return // it was made before, or undone and is made again
	}
	if rec.Parent != 0 && rec.Parent != message.Bottom {
		if under, known := layers[rec.Parent]; !known || d.going[under] {
			return
		}
	}
	d.heads[h] = 0
}

// content notes a record that replaces blocks of a chunk.
func (d *data) content(rec *format.Record) {
	h, chunk := rec.Handle, rec.Range.First.Chunk()
	layer := d.heads[h]
	if rec.Kind == format.Resync && rec.Layer != 0 {
		layer = d.layers[h][rec.Layer]
	}
	if rec.Slot != 0 {
		d.mapped[stream{h, chunk}] = &mapping{slot: rec.Slot, sums: rec.Sums, mask: 0xffff}
		return
	}
	blocks := rec.Holds() | rec.Apply // a block that a push takes away may come back from below
	d.homing[place{layer, chunk}] |= blocks
	d.merged[place{d.family(d.trees[h]), chunk}] |= blocks
	for at := h; at != 0; at = d.below[at] { // what a clone stands on may have been merged into it
		if m := d.mapped[stream{at, chunk}]; m != nil {
			m.mask &^= blocks
		}
	}
}

// forget drops what is known of the slots of a replica: their data may be undone.
func (d *data) forget(handle uint32) {
	maps.DeleteFunc(d.mapped, func(s stream, _ *mapping) bool { return s.handle == handle }) // any order: each is judged alone
}

// checkChunk compares what a layer has of a chunk.
func (d *data) checkChunk(l *format.Layer, c block.Chunk, desc *format.Descriptor) {
	if l.Freed {
		return // nobody reads it any more
	}
	var present uint16
	for i := range block.PerChunk {
		switch desc.State(i) {
		case format.Present:
			present |= 1 << i
		case format.Bad:
			d.lost[layerName(l)]++
		case format.Absent, format.Zero:
		}
	}
	present &^= d.homing[place{l.Number, c}]
	if d.going[l.Number] {
		present &^= d.merged[place{d.family(l.Number), c}] // its slots may be those of the layer above it by now
	}
	d.compare(desc.Slot, present, &desc.Sums, func(bad uint16, why string) {
		at := doubt{layer: l, under: d.tables.under, chunk: c, slot: desc.Slot, bad: bad, why: why}
		if at.under || d.going[l.Number] {
			d.doubts = append(d.doubts, at)
		} else {
			d.damaged(&at)
		}
	})
}

func (d *data) damaged(at *doubt) {
	d.report.find(ChunkDamaged, "chunk %d of %s in slot %d: blocks %s", at.chunk, layerName(at.layer), at.slot, bitText(at.bad)+at.why)
}

// checkParked compares the data of parked records.
func (d *data) checkParked(list []Parked) {
	block16 := make([]byte, d.im.Super.BlockSize)
	for i := range list {
		p := &list[i]
		if p.At == 0 || p.Record.Slot != 0 {
			continue
		}
		at, sums := p.At, 0
		for m := p.Record.Holds(); m != 0; m &= m - 1 {
			bit := m & -m
			if p.Bad&bit == 0 {
				d.report.BlocksRead++
				if err := d.im.read(block16, at); err != nil || block.ChecksumOf(block16) != p.Record.Sums[sums] {
					d.report.find(ChunkDamaged, "block %d of a parked record of %s at %d is not what was written",
						p.Record.Range.First.Chunk().First()+block.Block(bits.TrailingZeros16(bit)), replicaName(p.Volume), at)
				}
			}
			at += int64(len(block16))
			sums++
		}
	}
}

// checkMaps compares the chunks that only the journal knows of.
func (d *data) checkMaps() {
	keys := slices.SortedFunc(maps.Keys(d.mapped), func(a, b stream) int {
		if a.handle != b.handle {
			return int(a.handle) - int(b.handle)
		}
		return int(a.chunk) - int(b.chunk)
	})
	for _, at := range keys {
		m := d.mapped[at]
		d.compare(m.slot, m.mask, &m.sums, func(bad uint16, why string) {
			d.report.find(ChunkDamaged, "chunk %d of replica %d in slot %d, which the journal names: blocks %s", at.chunk, at.handle, m.slot, bitText(bad)+why)
		})
	}
}

// compare reads a slot and says which of its blocks are not what was written.
func (d *data) compare(slot uint32, blocks uint16, sums *block.Checksums, wrong func(bad uint16, why string)) {
	if blocks == 0 {
		return
	}
	content, err := d.im.Chunk(slot)
	if err != nil {
		wrong(blocks, ": "+err.Error())
		return
	}
	var bad uint16
	bs := int(d.im.Super.BlockSize)
	for m := blocks; m != 0; m &= m - 1 {
		i := bits.TrailingZeros16(m)
		d.report.BlocksRead++
		if block.ChecksumOf(content[i*bs:(i+1)*bs]) != sums[i] {
			bad |= 1 << i
		}
	}
	if bad != 0 {
		wrong(bad, " are not what was written")
	}
}

// summarise reports the blocks that are known to be lost.
func (d *data) summarise() {
	for _, name := range slices.Sorted(maps.Keys(d.lost)) {
		d.report.find(BlocksLost, "%s has %d blocks without a good copy here; another copy of the volume may have them", name, d.lost[name])
	}
}

// bitText lists the places of the bits that are set.
func bitText(m uint16) (text string) {
	for ; m != 0; m &= m - 1 {
		if text != "" {
			text += ","
		}
		text += strconv.Itoa(bits.TrailingZeros16(m))
	}
	return text
}
