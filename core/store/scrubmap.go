package store

import (
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/volume"
)

// Metadata that a scrub looks at.

// readPage begins to read a page into the job's buffer.
func (s *Store) readPage(i int32, at int64, size int, out *step.Effects) {
	j := s.jobs.table[i]
	j.failed, j.scrub.reading, j.scrub.size = 0, true, size
	io := s.begin(ioJob, i)
	s.ios[io].mask = 1
	s.piece(io, j.buffer.Slice(0, size).Retain())
	s.emit(io, step.DiskRead, at, out)
	j.waiting++
	j.scrub.read += int64(size)
}

// scrubLeafPage looks at the page of a leaf, unless what is in memory is newer.
// It reports whether something must be read first. One that is not in memory is
// read as a job reads it, which finds out what a lost one costs.
func (s *Store) scrubLeafPage(i int32, t *tree, leaf uint64, out *step.Effects) (waits bool) {
	p := &s.jobs.table[i].scrub
	if t == nil || t.lost || t.child(leaf).Page == 0 {
		return false
	}
	child := t.child(leaf)
	at, known := s.leaves.find[leafID{t.id, leaf}]
	if !known || !s.leaves.leaves[at].loaded {
		p.read += format.PageSize
		_, ready := s.leafFor(t, leaf, i, out)
		return !ready
	}
	if s.leaves.leaves[at].dirty {
		return false
	}
	p.page = pageCheck{kind: format.PageLeaf, child: child, index: leaf, tree: t}
	s.readPage(i, s.pageAddress(child.Page), format.PageSize, out)
	return true
}

// scrubMap looks at the pages above the leaves, at the tables and the bitmap.
func (s *Store) scrubMap(i int32, out *step.Effects) (ready bool) {
	p := &s.jobs.table[i].scrub
	if len(p.pages) == 0 {
		p.pages = s.mapPages(p.pages, p.at.At, int((p.most-p.read)/format.PageSize)+1)
	}
	if len(p.pages) == 0 {
		p.at = volume.ScrubCursor{Stage: scrubJournal}
		return true
	}
	p.page, p.pages = p.pages[0], p.pages[1:]
	s.readPage(i, s.pageAddress(p.page.child.Page), format.PageSize, out)
	return false
}

// mapPages appends the pages of the newest root that are no leaves of layers: most
// of them, from the one numbered from on.
func (s *Store) mapPages(list []pageCheck, from uint64, most int) []pageCheck {
	n := uint64(0)
	add := func(p pageCheck) {
		if p.child.Page == 0 {
			return
		}
		if n >= from && len(list) < most {
			list = append(list, p)
		}
		n++
	}
	add(pageCheck{kind: format.PageRoot, child: s.super.Root})
	whole := func(t *tree, leaves format.PageKind) {
		if t != nil && t.root != nil && !t.lost {
			eachPage(t.root, t.height, 0, t.page, leaves, add)
		}
	}
	whole(s.ckpt.table.volumes, format.PageTable)
	whole(s.ckpt.table.layers, format.PageLayers)
	whole(s.bitmap, format.PageBitmap)
	for _, l := range s.layers {
		whole(l.tree, format.PageInvalid)
		whole(l.under, format.PageInvalid)
	}
	return list
}

// eachPage visits the pages of a tree that are as last written. Its leaves are left
// out if they have no kind of their own.
func eachPage(n *node, level uint8, first uint64, at format.Child, leaves format.PageKind, visit func(pageCheck)) {
	if !n.dirty {
		visit(pageCheck{kind: format.PageInterior, child: at, index: nodeIndex(level, first)})
	}
	span := uint64(1)
	for range level - 1 {
		span *= format.Fanout
	}
	for i := range n.child {
		index := first + uint64(i)*span
		switch {
		case level > 1 && n.kids[i] != nil:
			eachPage(n.kids[i], level-1, index, n.child[i], leaves, visit)
		case level == 1 && leaves != format.PageInvalid:
			visit(pageCheck{kind: leaves, child: n.child[i], index: index})
		}
	}
}

// checkPage verifies the page that was read. While the job lasts nothing else is
// written to the place of a page, even if it is not needed any more. It reports
// false if it is read once more.
func (s *Store) checkPage(i int32, out *step.Effects) (done bool) {
	j := s.jobs.table[i]
	p := &j.scrub
	var at int64
	var whole bool
	switch data := j.buffer.Bytes()[:p.size]; p.at.Stage {
	case scrubJournal:
		at = s.ringAddress(p.at.At)
		h, err := format.DecodeHeader(data, s.super.Pool, at)
		if whole = err == nil; whole && j.failed == 0 {
			p.at.At += uint64(h.Length)
			return true
		}
	case scrubSuperblocks:
		at = int64(p.at.At) * format.SuperblockStride
		super, err := format.DecodeSuperblock(data, at)
		whole = err == nil && super.Pool == s.super.Pool
	default:
		at = s.pageAddress(p.page.child.Page)
		_, _, err := format.OpenPage(data, p.page.kind, s.super.Pool, at, p.page.child.CRC, p.page.index)
		whole = err == nil
	}
	whole = whole && j.failed == 0
	if !whole && !p.again {
		p.again = true
		s.readPage(i, at, p.size, out)
		return false
	}
	if !whole {
		s.writeAnew(p, out)
	}
	switch p.at.Stage {
	case scrubJournal: // where the next batch begins stood in this one
		p.at.At = s.journal.sealed.position
	case scrubMaps, scrubSuperblocks:
		p.at.At++
	case scrubLayers, scrubOver:
	}
	return true
}

// writeAnew has metadata that has rotted written anew from memory, by the next
// checkpoint: it writes all superblocks, and nothing before its end is needed of
// the journal.
func (s *Store) writeAnew(p *scrubPlan, out *step.Effects) {
	switch p.at.Stage {
	case scrubLayers:
		at, known := s.leaves.find[leafID{p.page.tree.id, p.page.index}]
		if known && s.leaves.leaves[at].loaded {
			s.dirtied(at)
		}
	case scrubMaps:
		s.rewriteMaps()
	case scrubJournal:
		if p.at.At < s.journal.tail {
			return // it was let go meanwhile
		}
	case scrubSuperblocks, scrubOver:
	}
	out.Marks.Hit("store: metadata that has rotted written anew")
	s.ckpt.forced = true
}

// rewriteMaps has the next checkpoint write all pages that are no leaves.
func (s *Store) rewriteMaps() {
	for g := range s.slots.Groups() {
		s.slots.Touch(g)
	}
	for _, l := range s.layers {
		l.tree.root.rewrite()
		if l.under != nil {
			l.under.root.rewrite()
		}
	}
	s.bitmap.root.rewrite()
}

// rewrite makes a node and those below it dirty.
func (n *node) rewrite() {
	if n == nil {
		return
	}
	n.dirty = true
	for _, kid := range n.kids {
		kid.rewrite()
	}
}

// scrubBatch looks at the header of the next batch that recovery would read.
// The data that it names was looked at with its chunk.
func (s *Store) scrubBatch(i int32, out *step.Effects) (ready bool) {
	p := &s.jobs.table[i].scrub
	p.at.At = max(p.at.At, s.journal.tail)
	if p.at.At >= s.journal.sealed.position {
		p.at = volume.ScrubCursor{Stage: scrubSuperblocks}
		return true
	}
	size := format.HeaderPagesMax * format.PageSize
	if toEnd := s.super.Journal.Length - int64(p.at.At%uint64(s.super.Journal.Length)); toEnd < int64(size) {
		size = int(toEnd)
	}
	s.readPage(i, s.ringAddress(p.at.At), size, out)
	return false
}

// scrubSuperblock looks at the next copy of the superblock.
func (s *Store) scrubSuperblock(i int32, out *step.Effects) (ready bool) {
	p := &s.jobs.table[i].scrub
	if p.at.At >= format.SuperblockCopies {
		p.at = volume.ScrubCursor{Stage: scrubOver}
		return true
	}
	s.readPage(i, int64(p.at.At)*format.SuperblockStride, format.PageSize, out)
	return false
}
