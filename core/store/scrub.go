package store

import (
	"cmp"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
	"github.com/lagan-storage/lagan/core/volume"
)

// A scrub reads everything that is on the disk, so that what has rotted is found
// while another copy is whole:
//
//	checkpoint ─▶ layers ─▶ maps ─▶ over
//
// A checkpoint first: it brings home what has long been in the journal, and writes
// tables and superblocks, so that nothing old is left of them. Then of each layer
// every chunk is read, at home or in the journal, and the pages of descriptors.
// What is lost of a chunk is reported; who asked for the scrub sees to it. Pages
// are in memory too, or what they say is lost for good: those that have rotted on
// the disk the next checkpoint writes anew.
//
// It is asked for turn by turn: how fast it goes is the caller's business, and a
// cursor is all that it takes to go on after a restart.

// The stages of a scrub, in order.
const (
	scrubCheckpoint uint8 = iota
	scrubLayers
	scrubMaps
	scrubOver
)

// scrubTurn is a turn that waits for a checkpoint. Only then it becomes a job:
// the checkpoint waits for those that are there before it.
type scrubTurn struct {
	waiting bool
	until   uint64 // as many checkpoints must have ended
	most    int64
	token   uint64
}

// scrubPlan is how far a turn of a scrub is.
type scrubPlan struct {
	at      volume.ScrubCursor
	most    int64 // bytes that the turn may read, about
	read    int64
	layer   *layer // whose chunk at the cursor is being read
	trees   uint8  // how many trees' pages of the present leaf were looked at
	reading bool   // a page is, into the job's buffer
	again   bool   // for the second time
	page    pageCheck
	pages   []pageCheck // of the maps, to be looked at in this turn
}

// pageCheck is a page of metadata and what must be in it.
type pageCheck struct {
	kind  format.PageKind
	child format.Child
	index uint64
	tree  *tree // of a leaf
}

// Scrub reads what comes behind a cursor, at least a chunk or a page and most
// bytes, about. Results: Rotten for every chunk of which something is lost, and
// ScrubDone with where the next turn begins; a Status other than OK: the store is
// not open.
func (s *Store) Scrub(now step.Time, at volume.ScrubCursor, most int64, token uint64, out *step.Effects) {
	s.now = max(s.now, now)
	if s.phase != phaseOpen {
		s.result(Result{Kind: ScrubDone, Status: failedStatus, Token: token, Scrub: at})
		return
	}
	if at.Stage == scrubCheckpoint {
		s.scrub = scrubTurn{waiting: true, until: s.ckpt.done + 1, most: most, token: token}
		if s.ckpt.phase != ckptIdle {
			s.scrub.until++ // that one may have made its cut
		}
		s.ckpt.forced = true
		s.pump(out)
		return
	}
	s.takeTurn(at, most, token, out)
}

// scrubFresh goes on with a turn that waited for a checkpoint.
func (s *Store) scrubFresh(out *step.Effects) {
	if t := s.scrub; t.waiting && s.ckpt.done >= t.until {
		s.scrub.waiting = false
		s.takeTurn(volume.ScrubCursor{Stage: scrubLayers}, t.most, t.token, out)
	}
}

func (s *Store) takeTurn(at volume.ScrubCursor, most int64, token uint64, out *step.Effects) {
	i := s.newJob(jobScrub, nil, token)
	j := s.jobs.table[i]
	j.scrub = scrubPlan{at: at, most: most, pages: j.scrub.pages[:0]}
	j.buffer = s.params.Pool.Get(int(s.slotSize))
	s.runScrub(i, out)
}

// runScrub goes on until something must be read first, or the turn is over.
func (s *Store) runScrub(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	for j.scrub.read < j.scrub.most {
		ready := true
		switch j.scrub.at.Stage {
		case scrubLayers:
			ready = s.scrubLayer(i, out)
		case scrubMaps:
			ready = s.scrubMap(i, out)
		default:
			j.scrub.most = 0
		}
		if !ready {
			return
		}
	}
	s.result(Result{Kind: ScrubDone, Token: j.token, Scrub: j.scrub.at, Bytes: j.scrub.read})
	j.buffer.Release()
	s.endJob(i)
}

// onScrubRead takes what a turn has read.
func (s *Store) onScrubRead(i int32, out *step.Effects) {
	p := &s.jobs.table[i].scrub
	if p.reading && !s.checkPage(i, out) || !p.reading && p.layer != nil && !s.checkChunk(i, out) {
		return
	}
	p.reading, p.again = false, false
	s.runScrub(i, out)
}

// scrubLayer looks at the next chunk of a layer, or goes to the next layer. It
// reports false if something must be read first.
func (s *Store) scrubLayer(i int32, out *step.Effects) (ready bool) {
	p := &s.jobs.table[i].scrub
	if p.layer != nil { // its leaf was read
		return s.scrubChunk(i, out)
	}
	l := s.layerFrom(p.at.Layer)
	switch {
	case l == nil:
		p.at = volume.ScrubCursor{Stage: scrubMaps}
		return true
	case l.number != p.at.Layer:
		p.at, p.trees = volume.ScrubCursor{Stage: scrubLayers, Layer: l.number}, 0
	}
	leaf, some := s.scrubLeaf(l, p.at.At/format.LeafChunks)
	if !some {
		p.at, p.trees = volume.ScrubCursor{Stage: scrubLayers, Layer: l.number + 1}, 0
		return true
	}
	if p.at.At < leaf*format.LeafChunks {
		p.at.At, p.trees = leaf*format.LeafChunks, 0
	}
	if trees := [...]*tree{l.tree, l.under}; p.at.At%format.LeafChunks == 0 && int(p.trees) < len(trees) {
		p.trees++
		return !s.scrubLeafPage(i, trees[p.trees-1], leaf, out)
	}
	j := s.jobs.table[i]
	p.layer, j.top, j.tries = l, cmp.Or(l.reader(), l), 0
	j.chunk, j.first, j.count = block.Chunk(p.at.At), 0, block.PerChunk
	return s.scrubChunk(i, out)
}

// layerFrom returns the first layer from a number on.
func (s *Store) layerFrom(number uint32) *layer {
	at, _ := slices.BinarySearchFunc(s.layers, number, func(l *layer, n uint32) int { return cmp.Compare(l.number, n) })
	if at == len(s.layers) {
		return nil
	}
	return s.layers[at]
}

// scrubLeaf returns the first leaf from from on of which l has anything.
func (s *Store) scrubLeaf(l *layer, from uint64) (leaf uint64, some bool) {
	least := func(n uint64, ok bool) {
		if ok && (!some || n < leaf) {
			leaf, some = n, true
		}
	}
	least(s.leafOf(l.tree, from))
	if l.under != nil {
		least(s.leafOf(l.under, from))
	}
	for c := s.index.First(l.number); l.pending > 0 && c != index.None; c = s.index.Next(c) {
		n := uint64(s.index.Chunk(c).Key.Chunk) / format.LeafChunks
		least(n, n >= from)
	}
	return leaf, some
}

// scrubChunk reads what a layer has of the chunk at the cursor.
func (s *Store) scrubChunk(i int32, out *step.Effects) (ready bool) {
	return s.merged(i) || s.locate(i, out) && !s.readSources(i, out) && s.checkChunk(i, out)
}

// merged makes a scrub begin the chunk at its cursor anew if the layer is not there
// any more, or what it was read through is not.
func (s *Store) merged(i int32) bool {
	j := s.jobs.table[i]
	gone := s.byNumber[j.scrub.layer.number] == nil || s.byNumber[j.top.number] == nil
	if gone {
		j.scrub.layer, j.layer = nil, nil
	}
	return gone
}

// checkChunk verifies a chunk as a read does, and reports what is lost of it. It
// reports false if something is read once more.
func (s *Store) checkChunk(i int32, out *step.Effects) (ready bool) {
	j := s.jobs.table[i]
	p := &j.scrub
	if !s.verifySources(i, out) {
		return false
	}
	if s.merged(i) {
		return true
	}
	for b := range j.sources {
		switch j.sources[b].kind {
		case sourceBad:
			j.bad |= 1 << b
		case sourceDisk:
			p.read += int64(s.blockSize)
		case sourceNone, sourceZero, sourceSkip:
		}
	}
	if j.bad != 0 {
		s.reportRotten(j, out)
	}
	p.at.At++
	p.layer, p.trees = nil, 0
	return true
}

// reportRotten tells of what is lost of a chunk, for every snapshot and head that is
// the next to show its layer: what stands on those shows it through them. A layer
// whose replica was deleted may still be there for clones.
func (s *Store) reportRotten(j *job, out *step.Effects) {
	l := j.scrub.layer
	for _, r := range s.replicas {
		if r.gone {
			continue
		}
		for _, id := range r.shows(l) {
			out.Marks.Hit("store: scrub found lost blocks")
			s.result(Result{Kind: Rotten, Handle: Handle(r.handle), Layer: id, Content: ChunkContent{Chunk: j.chunk}, Bad: j.bad})
		}
	}
}

// shows returns those of r's snapshots, and 0 for its head, that show l with no
// other in between: l alone, if it is one.
func (r *replica) shows(l *layer) (ids []block.LayerID) {
	if l.shownBy(r) {
		return []block.LayerID{l.id}
	}
	for _, top := range append(slices.Clip(r.snapshots), r.head) {
		p := top.parent
		for p != l && p != nil && !p.shownBy(r) {
			p = p.parent
		}
		if p == l && top.shownBy(r) {
			ids = append(ids, top.id)
		}
	}
	return ids
}

// reader returns the layer that l, which is deleted, is read through if it is one only:
// of what that has, nobody reads what is below, and a merge that a restart has taken back
// may have written there. It returns l if it is read by itself or through more than
// one, and nil if nobody reads it.
func (l *layer) reader() (only *layer) {
	if !l.doomed {
		return l
	}
	for _, k := range l.kids {
		top := k.reader()
		if only != nil && top != nil {
			return l
		}
		only = cmp.Or(only, top)
	}
	return only
}

// shownBy reports whether l is the head of r or one of its snapshots.
func (l *layer) shownBy(r *replica) bool { return l.owner == r && !l.deleted }

// ScrubEnded reports whether a cursor is behind everything.
func ScrubEnded(at volume.ScrubCursor) bool { return at.Stage >= scrubOver }

// Busy reports whether somebody waits for the disk: whoever can wait should.
func (s *Store) Busy() bool {
	if s.queue.records > 0 || len(s.journal.flight) > 0 {
		return true
	}
	for _, j := range s.jobs.table {
		if j.busy && j.kind == jobRead {
			return true
		}
	}
	return false
}

// Used returns how many bytes of data are at home.
func (s *Store) Used() int64 {
	slots := uint64(0)
	for _, l := range s.layers {
		slots += l.used()
	}
	return int64(slots) * int64(block.PerChunk*s.blockSize)
}
