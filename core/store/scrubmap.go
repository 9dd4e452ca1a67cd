package store

import (
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/volume"
)

// The pages of metadata that a scrub looks at.

// readPage begins to read a page into the job's buffer.
func (s *Store) readPage(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	j.failed, j.scrub.reading = 0, true
	io := s.begin(ioJob, i)
	s.ios[io].mask = 1
	s.piece(io, j.buffer.Slice(0, format.PageSize).Retain())
	s.emit(io, step.DiskRead, s.pageAddress(j.scrub.page.child.Page), out)
	j.waiting++
	j.scrub.read += format.PageSize
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
	s.readPage(i, out)
	return true
}

// scrubMap looks at the pages above the leaves, at the tables and the bitmap.
func (s *Store) scrubMap(i int32, out *step.Effects) (ready bool) {
	p := &s.jobs.table[i].scrub
	if len(p.pages) == 0 {
		p.pages = s.mapPages(p.pages, p.at.At, int((p.most-p.read)/format.PageSize)+1)
	}
	if len(p.pages) == 0 {
		p.at = volume.ScrubCursor{Stage: scrubOver}
		return true
	}
	p.page, p.pages = p.pages[0], p.pages[1:]
	s.readPage(i, out)
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
// written to its place, even if it is not needed any more. It reports false if it
// is read once more.
func (s *Store) checkPage(i int32, out *step.Effects) (done bool) {
	j := s.jobs.table[i]
	p := &j.scrub
	at := s.pageAddress(p.page.child.Page)
	_, _, bad := format.OpenPage(j.buffer.Bytes()[:format.PageSize], p.page.kind, s.super.Pool, at, p.page.child.CRC, p.page.index)
	if whole := bad == nil && j.failed == 0; !whole && !p.again {
		p.again = true
		s.readPage(i, out)
		return false
	} else if !whole {
		s.writeAnew(&p.page, out)
	}
	if p.at.Stage == scrubMaps {
		p.at.At++
	}
	return true
}

// writeAnew has the next checkpoint write a page from memory that has rotted.
func (s *Store) writeAnew(p *pageCheck, out *step.Effects) {
	out.Marks.Hit("store: metadata that has rotted written anew")
	s.ckpt.forced = true
	if p.kind != format.PageLeaf {
		s.rewriteMaps()
		return
	}
	at, known := s.leaves.find[leafID{p.tree.id, p.index}]
	if known && s.leaves.leaves[at].loaded {
		s.dirtied(at)
	}
}

// rewriteMaps has the next checkpoint write all pages that are no leaves. A tree of
// which a page was lost stays as it is on the disk: what is in memory lacks that
// part, and written anew it would read as empty and not as lost.
func (s *Store) rewriteMaps() {
	for g := range s.slots.Groups() {
		s.slots.Touch(g)
	}
	for _, l := range s.layers {
		for _, t := range [...]*tree{l.tree, l.under} {
			if t != nil && !t.lost {
				t.root.rewrite()
			}
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
