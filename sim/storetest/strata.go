package storetest

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// stratum is a layer as the oracle has it: what was written into it, and on
// which one it lies.
type stratum struct {
	id      block.LayerID // 0: a head, or the image that a clone began with
	below   int           // index of the one that it lies on, or -1
	own     []stamp       // per block, or absent
	touched []block.Seq   // per chunk, the newest record that changed it
	deleted bool
}

// absent is the stamp of a block that a stratum does not have.
const absent = ^stamp(0)

// strata are the layers of a replica.
type strata struct {
	all    []stratum
	head   int
	merges bool // a layer may have moved into the one above it
}

func newStratum(blocks uint64, below int) stratum {
	s := stratum{below: below, own: make([]stamp, blocks), touched: make([]block.Seq, (blocks+block.PerChunk-1)/block.PerChunk)}
	for b := range s.own {
		s.own[b] = absent
	}
	return s
}

func newStrata(blocks uint64) strata { return strata{all: []stratum{newStratum(blocks, -1)}} }

// newClone returns the strata of a replica that begins with an image.
func newClone(blocks uint64, image []stamp) strata {
	s := newStrata(blocks)
	copy(s.all[0].own, image)
	s.all = append(s.all, newStratum(blocks, 0))
	s.head, s.merges = 1, true
	return s
}

func (s strata) clone() strata {
	s.all = slices.Clone(s.all)
	for i := range s.all {
		s.all[i].own, s.all[i].touched = slices.Clone(s.all[i].own), slices.Clone(s.all[i].touched)
	}
	return s
}

// find returns the index of the snapshot id; 0 is the head.
func (s *strata) find(id block.LayerID) (int, bool) {
	if id == 0 {
		return s.head, true
	}
	for i := range s.all {
		if s.all[i].id == id && !s.all[i].deleted {
			return i, true
		}
	}
	return 0, false
}

// ids lists the snapshots, in the order in which they were taken.
func (s *strata) ids() (list []block.LayerID) {
	for i := range s.all {
		if s.all[i].id != 0 && !s.all[i].deleted {
			list = append(list, s.all[i].id)
		}
	}
	return list
}

// image returns what the volume holds as of the snapshot id.
func (s *strata) image(id block.LayerID) []stamp {
	at, ok := s.find(id)
	if !ok {
		return nil
	}
	content := slices.Clone(s.all[at].own)
	for b := range content {
		for i := at; content[b] == absent; {
			if i = s.all[i].below; i < 0 {
				content[b] = 0
				break
			}
			content[b] = s.all[i].own[b]
		}
	}
	return content
}

// shut closes the head as id and opens another on it, or on the snapshot below.
func (s *strata) shut(id, below block.LayerID, blocks uint64) {
	if _, taken := s.find(id); taken {
		return
	}
	at := s.head
	if below != 0 {
		var there bool
		if at, there = s.find(below); !there {
			return
		}
	}
	s.all[s.head].id = id
	s.all = append(s.all, newStratum(blocks, at))
	s.head = len(s.all) - 1
}

func (s *strata) drop(id block.LayerID) {
	if at, ok := s.find(id); ok && id != 0 {
		s.all[at].deleted, s.merges = true, true
	}
}

// apply does what a is, seen from outside.
func (s *strata) apply(a *act, blocks uint64) {
	switch a.kind {
	case actRecord:
		s.applyRecord(&a.record, stamp(a.stamp), blocks)
	case actOpen:
		s.shut(a.layer, a.parent, blocks)
	case actDrop:
		s.drop(a.layer)
	case actPush:
		at, _ := s.find(a.layer)
		s.touch(at, a.chunk.Chunk, a.chunk.LastSeq)
		for i := range block.PerChunk {
			b := int(a.chunk.Chunk.First()) + i
			if a.apply&(1<<i) == 0 || b >= len(s.all[at].own) {
				continue
			}
			s.all[at].own[b] = absent
			if (a.chunk.Present|a.chunk.Zero)&(1<<i) != 0 {
				s.all[at].own[b] = a.blocks[i]
			}
		}
	case actCreate, actMeta, actTruncate, actReset, actContinue, actDelete:
	}
}

// touch notes that seq changed a chunk; what was pushed may have a higher one.
func (s *strata) touch(at int, c block.Chunk, seq block.Seq) {
	s.all[at].touched[c] = max(s.all[at].touched[c], seq)
}

func (s *strata) applyRecord(rec *message.Record, to stamp, blocks uint64) {
	switch rec.Op {
	case message.OpWrite, message.OpZero: // the stamp of an OpZero is 0
		for b := rec.Range.First; b < rec.Range.End(); b++ {
			s.all[s.head].own[b] = to
			s.touch(s.head, b.Chunk(), rec.Position.Seq)
		}
	case message.OpSnap:
		s.shut(rec.Layer, rec.Parent, blocks)
	case message.OpDelSnap:
		s.drop(rec.Layer)
	case message.OpInvalid, message.OpNop, message.OpResize, message.OpCount:
	}
}
