package sim

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// images is the model of a volume's snapshots: what the records of its stream make
// of it, by their places. It hears every record that is ever sent. One whose place
// a later era took over is replaced by that era's; what is stable is decided for
// good.
type images struct {
	records []streamed       // by seq, from 1 on
	sums    []block.Checksum // of what they write
	done    int              // so many records are in the next two
	head    []block.Checksum // by block
	taken   map[block.LayerID][]block.Checksum
}

// streamed is one record as far as it changes the volume.
type streamed struct {
	at            block.Position
	op            message.Op
	blocks        block.Range
	layer, parent block.LayerID
	sums          int // where those of an OpWrite begin
}

func (w *World) newImages(blocks int) images {
	return images{head: slices.Repeat([]block.Checksum{w.zeroSum}, blocks), taken: make(map[block.LayerID][]block.Checksum)}
}

// hear takes a record on its way to a member.
func (m *images) hear(r *message.Record) {
	i := int(r.Position.Seq) - 1
	for len(m.records) <= i {
		m.records = append(m.records, streamed{})
	}
	before := &m.records[i]
	if r.Position.Era < before.at.Era || r.Position == before.at && r.Op == before.op {
		return
	}
	*before = streamed{at: r.Position, op: r.Op, blocks: r.Range, layer: r.Layer, parent: r.Parent}
	if r.Op == message.OpWrite {
		before.sums = len(m.sums)
		m.sums = append(m.sums, r.Checksums[:r.Range.Count]...)
	}
}

// upTo makes the records up to seq, which are stable, take effect.
func (m *images) upTo(seq block.Seq, zero block.Checksum) {
	for ; m.done < len(m.records) && block.Seq(m.done) < seq; m.done++ {
		r := &m.records[m.done]
		switch r.op {
		case message.OpWrite:
			copy(m.head[r.blocks.First:], m.sums[r.sums:r.sums+int(r.blocks.Count)])
		case message.OpZero:
			for b := r.blocks.First; b < r.blocks.End(); b++ {
				m.head[b] = zero
			}
		case message.OpSnap:
			m.snap(r)
		case message.OpDelSnap:
			delete(m.taken, r.layer)
		case message.OpInvalid, message.OpNop, message.OpResize, message.OpCount:
		}
	}
}

// snap takes a snapshot, once, or goes back to one.
func (m *images) snap(r *streamed) {
	below := m.head
	if r.parent != 0 {
		below = m.taken[r.parent]
	}
	if _, twice := m.taken[r.layer]; twice || below == nil {
		return
	}
	m.taken[r.layer] = m.head
	m.head = slices.Clone(below)
}

// of returns the image of a snapshot, or of the volume if that is 0.
func (m *images) of(layer block.LayerID) []block.Checksum {
	if layer == 0 {
		return m.head
	}
	return m.taken[layer]
}

func (m *images) has(layer block.LayerID) bool { return m.of(layer) != nil }

// differs returns the first block of blocks that data does not hold as layer does,
// or -1.
func (m *images) differs(layer block.LayerID, blocks block.Range, data []byte, size int) int {
	image := m.of(layer)
	for i := range int(blocks.Count) {
		if block.ChecksumOf(data[i*size:(i+1)*size]) != image[int(blocks.First)+i] {
			return int(blocks.First) + i
		}
	}
	return -1
}
