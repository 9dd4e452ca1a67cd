package store

import (
	"cmp"
	"errors"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// errUnreadable is what is wrong with a page that was not even returned.
var errUnreadable = errors.New("the device returned an error twice")

// walk reads every metadata page but the leaves, from the root down.
type walk struct {
	items []walkItem
	next  int // the first that is not being read
}

// walkItem is a page to be read and where its content goes.
type walkItem struct {
	kind   format.PageKind
	ref    format.Child
	index  uint64
	level  uint8
	tree   *tree // of an interior page; for the table its own
	node   *node
	buffer block.Buffer
	what   format.PageKind // what the tree's leaves are
	again  bool            // it is read a second time
}

func (s *Store) startWalk(out *step.Effects) {
	w := &s.opening.walk
	w.items = append(w.items, walkItem{kind: format.PageRoot, ref: s.super.Root})
	if s.super.Bitmap.Page != 0 {
		s.walkTree(s.bitmap, s.super.Bitmap, format.PageBitmap)
	}
	s.driveWalk(out)
}

// walkTree lists the root page of a tree.
func (s *Store) walkTree(t *tree, ref format.Child, leaves format.PageKind) {
	t.page = ref
	if ref.Page == 0 {
		return
	}
	t.root = &node{}
	s.opening.walk.items = append(s.opening.walk.items, walkItem{
		kind: format.PageInterior, ref: ref, index: nodeIndex(t.height, 0), level: t.height, tree: t, node: t.root, what: leaves,
	})
}

func (s *Store) driveWalk(out *step.Effects) {
	o := s.opening
	w := &o.walk
	for w.next < len(w.items) && o.pending < openReads && s.phase != phaseFailed {
		it := &w.items[w.next]
		if !s.claimPage(it.ref.Page) {
			s.fail(out, "disk %v: metadata page %d has two owners or lies outside: the pool's metadata is corrupt; format the disk, its replicas are made anew from the others", s.super.Disk, it.ref.Page)
			return
		}
		it.buffer = s.params.Pool.Get(format.PageSize)
		o.pending++
		s.openRead(int32(w.next), it.buffer, s.pageAddress(it.ref.Page), out)
		w.next++
	}
	if o.pending == 0 && s.phase != phaseFailed {
		s.endWalk(out)
	}
}

func (s *Store) onPageRead(ref int32, err step.DiskError, out *step.Effects) {
	it := s.opening.walk.items[ref]
	body, count, bad := format.OpenPage(it.buffer.Bytes(), it.kind, s.super.Pool, s.pageAddress(it.ref.Page), it.ref.CRC, it.index)
	if (bad != nil || err != step.DiskOK) && !it.again {
		out.Marks.Hit("store: metadata page read a second time")
		s.opening.walk.items[ref].again = true
		s.opening.pending++
		s.openRead(ref, it.buffer, s.pageAddress(it.ref.Page), out)
		return
	}
	switch {
	case bad == nil && err == step.DiskOK:
		bad = s.takePage(&it, body, count)
	case err != step.DiskOK:
		bad = errUnreadable
	}
	it.buffer.Release()
	s.opening.walk.items[ref].buffer = block.Buffer{}
	if bad != nil && !s.surviveLoss(&it, out) {
		s.fail(out, "disk %v: metadata page %d: %v: the pool's metadata is corrupt; format the disk, its replicas are made anew from the others", s.super.Disk, it.ref.Page, bad)
		return
	}
	s.driveWalk(out)
}

// surviveLoss gives up one volume's tree or parked records where a page is
// lost that concerns no other volume.
func (s *Store) surviveLoss(it *walkItem, out *step.Effects) bool {
	if it.kind == format.PageInterior && it.what == format.PageLeaf {
		it.tree.lost = true
	} else if it.kind != format.PageParked {
		return false
	}
	out.Marks.Hit("store: replica damaged by a lost page")
	if it.kind == format.PageInterior {
		s.opening.lost = append(s.opening.lost, it.tree)
	}
	for _, r := range s.replicas {
		if it.kind == format.PageParked && uint64(r.handle) == it.index {
			r.damaged, r.cutOff, r.torn = true, true, true
			r.last = r.base
		}
	}
	return true
}

// takePage puts a page's content where it belongs and lists the pages below it.
func (s *Store) takePage(it *walkItem, body []byte, count int) error {
	switch it.kind {
	case format.PageRoot:
		root, err := format.DecodeRoot(body)
		if err != nil {
			return err
		}
		s.nextHandle, s.nextLayer = max(s.nextHandle, root.NextHandle), max(s.nextLayer, root.NextLayer)
		s.ckpt.rootPage = it.ref.Page
		s.ckpt.table.volumes = s.walkTable(&root.Volumes, format.PageTable)
		s.ckpt.table.layers = s.walkTable(&root.Layers, format.PageLayers)
	case format.PageInterior:
		return s.takeInterior(it, body)
	case format.PageBitmap:
		format.DecodeBitmap(body, s.slots.Words(int(it.index)))
	case format.PageTable:
		volumes, err := format.DecodeTable(body, count, nil)
		if err != nil {
			return err
		}
		for i := range volumes {
			s.takeVolume(&volumes[i])
		}
	case format.PageLayers:
		layers, err := format.DecodeLayers(body, count, nil)
		if err != nil {
			return err
		}
		for i := range layers {
			s.takeLayer(&layers[i])
		}
	case format.PageParked:
		next, err := format.DecodeParked(body, count, func(p *format.Parked) { s.opening.parked = append(s.opening.parked, *p) })
		if err != nil {
			return err
		}
		if r := s.byHandle[uint32(it.index)]; r != nil {
			r.pages = append(r.pages, it.ref.Page)
		}
		if next.Page != 0 {
			s.opening.walk.items = append(s.opening.walk.items, walkItem{kind: format.PageParked, ref: next, index: it.index})
		}
	default:
		return format.ErrContent
	}
	return nil
}

func (s *Store) takeInterior(it *walkItem, body []byte) error {
	format.DecodeInterior(body, &it.node.child)
	first := it.index & (1<<56 - 1)
	span := uint64(1)
	for range it.level - 1 {
		span *= format.Fanout
	}
	for i := range it.node.child {
		child := it.node.child[i]
		if child.Page == 0 {
			continue
		}
		index := first + uint64(i)*span
		switch {
		case it.level > 1:
			it.node.kids[i] = &node{}
			s.opening.walk.items = append(s.opening.walk.items, walkItem{
				kind: format.PageInterior, ref: child, index: nodeIndex(it.level-1, index), level: it.level - 1,
				tree: it.tree, node: it.node.kids[i], what: it.what,
			})
		case it.what == format.PageLeaf:
			if !s.claimPage(child.Page) {
				return format.ErrContent
			}
		case index >= it.tree.leaves:
			return format.ErrContent
		default:
			s.opening.walk.items = append(s.opening.walk.items, walkItem{kind: it.what, ref: child, index: index})
		}
	}
	return nil
}

// walkTable lists the root page of a table.
func (s *Store) walkTable(t *format.Table, kind format.PageKind) *tree {
	made := s.newTree(uint64(t.Pages))
	made.height = t.Height
	s.walkTree(made, t.Root, kind)
	return made
}

// takeVolume makes the replica of a table entry.
func (s *Store) takeVolume(v *format.Volume) {
	r := s.addReplica(v.Handle, v.Replica, v.Volume, v.Blocks, Meta(v.Meta))
	r.damaged, r.cutOff, r.stable, r.in = v.Damaged, v.Damaged, v.Stable, true
	r.base, r.last = v.Base, v.Last
	r.controls, r.rootedControls = v.Controls, v.Controls
	r.grown = v.Blocks
	s.opening.heads[v.Handle] = v.Head
	if v.Parked.Page != 0 {
		s.opening.walk.items = append(s.opening.walk.items, walkItem{kind: format.PageParked, ref: v.Parked, index: uint64(v.Handle)})
	}
}

// takeLayer makes the layer of a table entry, or goes on with the freeing of
// what is left of one.
func (s *Store) takeLayer(e *format.Layer) {
	if e.Freed {
		t := s.newTree(e.Blocks)
		t.height, t.dead = e.Tree.Height, true
		s.dead = append(s.dead, t)
		s.walkTree(t, e.Tree.Root, format.PageLeaf)
		return
	}
	l := &layer{
		number: e.Number, id: e.ID, blocks: e.Blocks, tree: s.takeTree(&e.Tree, e.Blocks), down: e.Down, reach: e.Reach,
		born: true, shut: e.ID != 0, closed: e.Closed, deleted: e.Doomed, doomed: e.Doomed,
	}
	if e.Under.Height > 0 {
		l.under = s.takeTree(&e.Under, e.Reach)
	}
	s.opening.layers = append(s.opening.layers, layerLink{layer: l, parent: e.Parent, owner: e.Owner})
}

func (s *Store) takeTree(e *format.Tree, blocks uint64) *tree {
	t := s.newTree(leavesOf(blocks))
	t.height, t.used = e.Height, e.Used
	s.walkTree(t, e.Root, format.PageLeaf)
	return t
}

// layerLink is a layer whose neighbours may not be read yet.
type layerLink struct {
	layer         *layer
	parent, owner uint32
}

// linkLayers puts the layers together: each has a place in the tree of layers,
// each replica one head (I12). It reports false where that cannot be.
func (s *Store) linkLayers() bool {
	o := s.opening
	slices.SortFunc(o.layers, func(a, b layerLink) int { return cmp.Compare(a.layer.number, b.layer.number) })
	for i := range o.layers {
		k := &o.layers[i]
		if s.byNumber[k.layer.number] != nil || k.layer.number >= s.nextLayer {
			return false
		}
		if k.parent != 0 {
			p := s.byNumber[k.parent] // below its own number: linked already
			if p == nil || !p.shut || p.blocks > k.layer.blocks {
				return false
			}
			k.layer.parent = p
			p.kids = append(p.kids, k.layer)
		}
		s.addLayer(k.layer)
		if k.layer.under != nil {
			s.folding = append(s.folding, k.layer)
		}
		if k.layer.doomed {
			s.doomed = append(s.doomed, k.layer)
		}
		if k.owner != 0 && !s.linkOwner(k) {
			return false
		}
	}
	for _, r := range s.replicas {
		if r.head = s.byNumber[o.heads[r.handle]]; r.head == nil || r.head.owner != r || r.head.shut {
			return false
		}
	}
	for _, t := range o.lost {
		s.damageReaders(t)
	}
	return true
}

func (s *Store) linkOwner(k *layerLink) bool {
	r := s.byHandle[k.owner]
	if r == nil || k.layer.blocks > r.blocks {
		return false
	}
	k.layer.owner = r
	if k.layer.shut {
		r.snapshots = append(r.snapshots, k.layer)
	}
	return true
}

// endWalk takes over the bitmap and goes on to the journal.
func (s *Store) endWalk(out *step.Effects) {
	if !s.slots.Loaded() {
		s.fail(out, "disk %v: the allocation bitmap names slots that do not exist: the pool's metadata is corrupt; format the disk", s.super.Disk)
		return
	}
	for slot := range s.pages.used { // any order: one is enough
		if s.slots.Rooted(slot) {
			s.fail(out, "disk %v: slot %d holds data and pages of a tree that was not readable for a while: format the disk, its replicas are made anew from the others", s.super.Disk, slot)
			return
		}
	}
	if !s.linkLayers() {
		s.fail(out, "disk %v: its layers do not make a tree: the pool's metadata is corrupt; format the disk, its replicas are made anew from the others", s.super.Disk)
		return
	}
	for i := range s.slots.Groups() {
		s.slots.Dirty(i)
	}
	s.opening.walk, s.opening.layers = walk{}, nil
	s.openPagesList()
	s.opening.step = openScan
	s.startScan(out)
}

// openPagesList lists the META slots with room, lowest last so that it is used first.
func (s *Store) openPagesList() {
	full := uint16(uint32(1)<<s.pagesPerSlot() - 1)
	for slot, mask := range s.pages.used { // any order: sorted below
		if mask != full {
			s.pages.open = append(s.pages.open, slot)
		}
	}
	slices.SortFunc(s.pages.open, func(a, b uint32) int { return cmp.Compare(b, a) })
}
