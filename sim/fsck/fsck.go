// Package fsck reads a disk from the outside, without a store: who owns what of
// the newest root, and where that root's pages lie. The store's tests and the
// simulated world hold the disks at rest against it, and draw from it what they
// damage.
package fsck

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/sim/disk"
)

// reader follows the newest root and notes the owner of every slot and page.
type reader struct {
	disk   *disk.Disk
	super  format.Superblock
	base   int64
	size   int64
	slots  int
	owners map[uint32]string
	pages  map[uint64]string
	rooted []uint64
}

// Check reports whether every slot and page of the newest durable root of a disk
// has exactly one owner: a set comparison (I12).
func Check(d *disk.Disk) error {
	f, err := read(Durable(d))
	if err != nil {
		return err
	}
	return f.compare()
}

// Pages returns where the pages of the newest durable root lie, from low to high.
func Pages(d *disk.Disk) (list []int64) {
	f, err := read(Durable(d))
	if err != nil {
		return nil
	}
	for page := range f.pages { // any order: sorted below
		list = append(list, int64(page)*format.PageSize)
	}
	slices.Sort(list)
	return list
}

func read(d *disk.Disk) (*reader, error) {
	f := &reader{disk: d, owners: make(map[uint32]string), pages: make(map[uint64]string)}
	if err := f.findSuper(); err != nil {
		return nil, err
	}
	return f, f.walkRoot()
}

func (f *reader) findSuper() error {
	for i := range int64(format.SuperblockCopies) {
		s, err := format.DecodeSuperblock(f.read(i*format.SuperblockStride, format.PageSize), i*format.SuperblockStride)
		if err == nil && s.Sequence >= f.super.Sequence {
			f.super = s
		}
	}
	if f.super.Capacity == 0 {
		return errors.New("no superblock")
	}
	f.size = max(format.PageSize, int64(block.PerChunk*f.super.BlockSize))
	f.base = (format.JournalOffset + f.super.Journal.Length + f.size - 1) / f.size * f.size
	f.slots = int((f.super.Capacity - f.base) / f.size)
	f.rooted = make([]uint64, (f.slots+63)/64)
	return nil
}

func (f *reader) read(at int64, n int) []byte {
	data := make([]byte, n)
	f.disk.Peek(at, data)
	return data
}

// page reads a page, checks it and notes its owner.
func (f *reader) page(ref format.Child, kind format.PageKind, index uint64, name string) (body []byte, count int, err error) {
	if was, used := f.pages[ref.Page]; used {
		return nil, 0, fmt.Errorf("page %d belongs to %s and to %s", ref.Page, was, name)
	}
	f.pages[ref.Page] = name
	at := int64(ref.Page) * format.PageSize
	body, count, err = format.OpenPage(f.read(at, format.PageSize), kind, f.super.Pool, at, ref.CRC, index)
	if err != nil {
		return nil, 0, fmt.Errorf("page %d of %s: %w", ref.Page, name, err)
	}
	return body, count, nil
}

// tree visits the pages under an interior page; leaf is called for each.
func (f *reader) tree(ref format.Child, height uint8, first uint64, name string, leaf func(index uint64, ref format.Child) error) error {
	if ref.Page == 0 {
		return nil
	}
	body, _, err := f.page(ref, format.PageInterior, uint64(height)<<56|first, name)
	if err != nil {
		return err
	}
	var children [format.Fanout]format.Child
	format.DecodeInterior(body, &children)
	span := uint64(1)
	for range height - 1 {
		span *= format.Fanout
	}
	for i, c := range children {
		at := first + uint64(i)*span
		switch {
		case c.Page == 0:
		case height > 1:
			err = errors.Join(err, f.tree(c, height-1, at, name, leaf))
		default:
			err = errors.Join(err, leaf(at, c))
		}
	}
	return err
}

func (f *reader) walkRoot() error {
	if f.super.Root.Page == 0 {
		return nil
	}
	body, _, err := f.page(f.super.Root, format.PageRoot, 0, "the root")
	if err != nil {
		return err
	}
	root, err := format.DecodeRoot(body)
	if err != nil {
		return err
	}
	var volumes []format.Volume
	var layers []format.Layer
	err = f.table(&root.Volumes, format.PageTable, func(body []byte, count int) error {
		volumes, err = format.DecodeTable(body, count, volumes)
		return err
	})
	err = errors.Join(err, f.table(&root.Layers, format.PageLayers, func(body []byte, count int) error {
		layers, err = format.DecodeLayers(body, count, layers)
		return err
	}))
	err = errors.Join(err, f.tree(f.super.Bitmap, format.Height(uint64((f.slots+format.BitmapSlots-1)/format.BitmapSlots)), 0, "the bitmap", func(index uint64, ref format.Child) error {
		body, _, err := f.page(ref, format.PageBitmap, index, "the bitmap")
		if err == nil {
			from := int(index) * format.BitmapSlots / 64
			format.DecodeBitmap(body, f.rooted[from:min(len(f.rooted), from+format.BitmapSlots/64)])
		}
		return err
	}))
	for i := range volumes {
		err = errors.Join(err, f.volume(&volumes[i]))
	}
	for i := range layers {
		err = errors.Join(err, f.layer(&layers[i]))
	}
	return errors.Join(err, relations(volumes, layers, root.NextLayer))
}

// table visits the pages of a table.
func (f *reader) table(t *format.Table, kind format.PageKind, take func(body []byte, count int) error) error {
	name := fmt.Sprintf("the table of kind %d", kind)
	return f.tree(t.Root, t.Height, 0, name, func(index uint64, ref format.Child) error {
		body, count, err := f.page(ref, kind, index, name)
		if err == nil {
			err = take(body, count)
		}
		return err
	})
}

// layer checks that every chunk of a layer has a slot of its own.
func (f *reader) layer(l *format.Layer) error {
	name := fmt.Sprintf("layer %d (%x)", l.Number, l.ID)
	if l.Freed {
		name = fmt.Sprintf("the dead tree at page %d", l.Tree.Root.Page)
	}
	err := f.leaves(&l.Tree, name, l.Freed)
	if l.Under.Height > 0 {
		err = errors.Join(err, f.leaves(&l.Under, "what was merged into "+name, false))
	}
	return err
}

func (f *reader) leaves(t *format.Tree, name string, freed bool) error {
	used := uint64(0)
	err := f.tree(t.Root, t.Height, 0, name, func(index uint64, ref format.Child) error {
		body, _, err := f.page(ref, format.PageLeaf, index, name)
		if err != nil {
			return err
		}
		var leaf format.Leaf
		if err := format.DecodeLeaf(body, uint32(f.slots), &leaf); err != nil {
			return err
		}
		_, has, _ := leaf.Summary()
		if !freed && ref.Has != has {
			err = fmt.Errorf("leaf %d of %s has chunks %x, its parent says %x", index, name, has, ref.Has)
		}
		for i := range leaf {
			if leaf[i].Slot != 0 {
				used++
				err = errors.Join(err, f.own(leaf[i].Slot, fmt.Sprintf("chunk %d of %s", index*format.LeafChunks+uint64(i), name)))
			}
		}
		return err
	})
	if err == nil && !freed && used != t.Used {
		err = fmt.Errorf("%s has %d slots, its entry says %d", name, used, t.Used)
	}
	return err
}

// relations checks that the layers make trees, and that each has an owner or goes.
func relations(volumes []format.Volume, layers []format.Layer, next uint32) (err error) {
	byNumber, heads := make(map[uint32]*format.Layer), make(map[uint32]uint32)
	for i := range volumes {
		heads[volumes[i].Handle] = volumes[i].Head
	}
	for i := range layers {
		l := &layers[i]
		if l.Freed {
			continue
		}
		parent, head := byNumber[l.Parent], heads[l.Owner]
		switch {
		case byNumber[l.Number] != nil || l.Number >= next:
			err = errors.Join(err, fmt.Errorf("layer number %d is used twice or not given out (next is %d)", l.Number, next))
		case l.Parent != 0 && (parent == nil || parent.ID == 0 || parent.Blocks > l.Blocks):
			err = errors.Join(err, fmt.Errorf("layer %d stands on %d, which is %+v", l.Number, l.Parent, parent))
		case l.Owner != 0 && head == 0, l.Owner == 0 && !l.Doomed:
			err = errors.Join(err, fmt.Errorf("layer %d is of replica %d, which does not exist, and does not go", l.Number, l.Owner))
		case (l.ID == 0) != (head == l.Number && l.Owner != 0):
			err = errors.Join(err, fmt.Errorf("layer %d has id %x; the head of replica %d is %d", l.Number, l.ID, l.Owner, head))
		}
		byNumber[l.Number] = l
	}
	for handle, head := range heads { // any order: errors are for people
		if l := byNumber[head]; l == nil || l.Owner != handle {
			err = errors.Join(err, fmt.Errorf("the head of replica %d is layer %d, which is %+v", handle, head, l))
		}
	}
	return err
}

func (f *reader) volume(v *format.Volume) (err error) {
	name := fmt.Sprintf("replica %x (handle %d)", v.Replica[:8], v.Handle)
	for next := v.Parked; next.Page != 0 && err == nil; {
		next, err = f.parked(next, v, name)
	}
	return err
}

func (f *reader) parked(ref format.Child, v *format.Volume, name string) (next format.Child, err error) {
	body, count, err := f.page(ref, format.PageParked, uint64(v.Handle), name)
	if err != nil {
		return next, err
	}
	var bad error
	next, err = format.DecodeParked(body, count, func(p *format.Parked) {
		switch {
		case p.Record.Slot != 0:
			bad = errors.Join(bad, f.own(p.Record.Slot, "a parked MAP of "+name))
		case p.At != 0:
			f.owners[uint32((p.At-f.base)/f.size)+1] = "parked data"
		}
	})
	return next, errors.Join(err, bad)
}

func (f *reader) own(slot uint32, name string) error {
	if was, used := f.owners[slot]; used {
		return fmt.Errorf("slot %d belongs to %s and to %s", slot, was, name)
	}
	f.owners[slot] = name
	return nil
}

// compare checks the bitmap against the owners found.
func (f *reader) compare() (err error) {
	for slot := uint32(1); int(slot) <= f.slots; slot++ {
		rooted := f.rooted[(slot-1)/64]&(1<<((slot-1)%64)) != 0
		switch name, owned := f.owners[slot]; {
		case rooted && !owned:
			err = errors.Join(err, fmt.Errorf("slot %d is used by nothing: it is lost", slot))
		case owned && !rooted:
			err = errors.Join(err, fmt.Errorf("slot %d of %s is free in the bitmap", slot, name))
		}
	}
	for page, name := range f.pages { // any order: errors are for people
		slot := uint32((int64(page)*format.PageSize-f.base)/f.size) + 1
		if was, owned := f.owners[slot]; owned {
			err = errors.Join(err, fmt.Errorf("slot %d holds page %d of %s, and %s", slot, page, name, was))
		}
	}
	return err
}

// Batch is a batch of the journal, as it lies on the disk.
type Batch struct {
	Number         uint64
	Durable        uint64 // a batch that this one calls durable
	Offset, Length int64
}

// Durable returns what would be left of a disk if nothing that is not synced were.
func Durable(d *disk.Disk) *disk.Disk {
	c := d.Clone(0)
	c.SetFaults(disk.Faults{})
	c.Restore(c.Snapshot())
	return c
}

// Batches returns the journal's batches that are whole in their headers and not
// older than its tail, newest first: what an opening would read.
func Batches(d *disk.Disk) (list []Batch) {
	f := &reader{disk: d}
	if f.findSuper() != nil {
		return nil
	}
	end := format.JournalOffset + f.super.Journal.Length
	for at := int64(format.JournalOffset); at < end; at += format.PageSize {
		pages := int64(format.HeaderPages(f.read(at, format.PageSize)))
		if pages == 0 || at+pages*format.PageSize > end {
			continue
		}
		h, err := format.DecodeHeader(f.read(at, int(pages*format.PageSize)), f.super.Pool, at)
		if err == nil && h.Batch >= f.super.Journal.TailBatch {
			list = append(list, Batch{Number: h.Batch, Durable: h.Durable, Offset: at, Length: int64(h.Length)})
		}
	}
	slices.SortFunc(list, func(a, b Batch) int { return cmp.Compare(b.Number, a.Number) })
	return list
}
