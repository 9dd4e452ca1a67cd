package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/format"
)

// Parked is a record that was moved out of the journal, with its replica.
type Parked struct {
	format.Parked
	Volume *format.Volume
}

// tables is what the newest root says. owner has who owns each slot, as an index
// into names.
type tables struct {
	im      *Image
	report  *Report
	root    format.Root
	volumes []format.Volume
	layers  []format.Layer
	parked  []Parked
	pages   map[uint64]string
	names   []string
	owner   []uint32 // by slot, 0: nobody's
	rooted  []uint64 // the bitmap
	under   bool     // the tree being walked is that of what was merged into its layer
	missing bool     // a page could not be read: what it names is not known
	chunks  map[uint32]int64
	counts  SlotCount
	chunk   func(l *format.Layer, c block.Chunk, d *format.Descriptor) // looks at every chunk; may be nil
}

// Contents is what the newest root says.
type Contents struct {
	Root    format.Root
	Volumes []format.Volume
	Layers  []format.Layer
	Parked  []Parked
}

// Contents reads what the newest root says and has each look at every chunk that
// a layer has; each may be nil. What is wrong with it is in the findings.
func (im *Image) Contents(each func(l *format.Layer, c block.Chunk, d *format.Descriptor)) (*Contents, []Finding) {
	r := &Report{}
	t := im.walk(r, func(t *tables) { t.chunk = each })
	return &Contents{Root: t.root, Volumes: t.volumes, Layers: t.layers, Parked: t.parked}, r.Findings
}

// Pages returns the pages of the newest root, where they lie, from low to high.
func (im *Image) Pages() (list []int64) {
	t := im.walk(&Report{}, nil)
	for page := range t.pages { // any order: sorted below
		list = append(list, int64(page)*format.PageSize)
	}
	slices.Sort(list)
	return list
}

// walk follows the newest root, notes the owner of every page and slot, and
// reports what does not fit: it is a comparison of sets. prepare is called when
// all but the layers' chunks is known; it may be nil.
func (im *Image) walk(r *Report, prepare func(*tables)) *tables {
	t := &tables{
		im: im, report: r, pages: make(map[uint64]string), names: []string{""}, chunks: make(map[uint32]int64),
		owner: make([]uint32, im.Slots+1), rooted: make([]uint64, (im.Slots+63)/64),
	}
	if !t.readRoot() {
		return t
	}
	for i := range t.volumes {
		t.readParked(&t.volumes[i])
	}
	if prepare != nil {
		prepare(t)
	}
	for i := range t.layers {
		t.ownLayer(&t.layers[i])
	}
	t.relate()
	t.compare()
	return t
}

// page reads a page, checks it and notes its owner; nil if it cannot be used.
func (t *tables) page(ref format.Child, kind format.PageKind, index uint64, name string) (body []byte, count int) {
	if was, used := t.pages[ref.Page]; used {
		t.report.find(SlotShared, "page %d belongs to %s and to %s", ref.Page, was, name)
		t.missing = true
		return nil, 0
	}
	t.pages[ref.Page] = name
	at := int64(ref.Page) * format.PageSize
	page := make([]byte, format.PageSize)
	err := t.im.read(page, at)
	if err == nil {
		body, count, err = format.OpenPage(page, kind, t.im.Super.Pool, at, ref.CRC, index)
	}
	if err != nil {
		t.damaged(ref, name, err)
		return nil, 0
	}
	return body, count
}

func (t *tables) damaged(ref format.Child, name string, err error) {
	t.missing = true
	t.report.find(PageDamaged, "page %d of %s: %v", ref.Page, name, err)
}

// tree visits the pages under an interior page; leaf is called for each.
func (t *tables) tree(ref format.Child, height uint8, first uint64, name string, leaf func(index uint64, ref format.Child)) {
	if ref.Page == 0 {
		return
	}
	body, _ := t.page(ref, format.PageInterior, pageIndex(height, first), name)
	if body == nil {
		return
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
			t.tree(c, height-1, at, name, leaf)
		default:
			leaf(at, c)
		}
	}
}

func (t *tables) readRoot() bool {
	s := &t.im.Super
	body, _ := t.page(s.Root, format.PageRoot, 0, "the root")
	if body == nil {
		return false
	}
	var err error
	if t.root, err = format.DecodeRoot(body); err != nil {
		t.damaged(s.Root, "the root", err)
		return false
	}
	t.table(&t.root.Volumes, format.PageTable, "the volume table", func(body []byte, count int) (err error) {
		t.volumes, err = format.DecodeTable(body, count, t.volumes)
		return err
	})
	t.table(&t.root.Layers, format.PageLayers, "the layer table", func(body []byte, count int) (err error) {
		t.layers, err = format.DecodeLayers(body, count, t.layers)
		return err
	})
	t.tree(s.Bitmap, t.im.heightOfBitmap(), 0, "the bitmap", func(index uint64, ref format.Child) {
		body, _ := t.page(ref, format.PageBitmap, index, "the bitmap")
		from := index * format.BitmapSlots / 64
		if body == nil || from >= uint64(len(t.rooted)) {
			return
		}
		format.DecodeBitmap(body, t.rooted[from:min(uint64(len(t.rooted)), from+format.BitmapSlots/64)])
	})
	return true
}

// table visits the pages of a table.
func (t *tables) table(table *format.Table, kind format.PageKind, name string, take func(body []byte, count int) error) {
	t.tree(table.Root, table.Height, 0, name, func(index uint64, ref format.Child) {
		body, count := t.page(ref, kind, index, name)
		if body == nil {
			return
		}
		if err := take(body, count); err != nil {
			t.damaged(ref, name, err)
		}
	})
}

// ownLayer checks that every chunk of a layer has a slot of its own.
func (t *tables) ownLayer(l *format.Layer) {
	t.ownTree(l, &l.Tree, layerName(l))
	if l.Under.Height > 0 {
		t.under = true
		t.ownTree(l, &l.Under, "what was merged into "+layerName(l))
		t.under = false
	}
}

func layerName(l *format.Layer) string {
	switch {
	case l.Freed:
		return fmt.Sprintf("the dead tree at page %d", l.Tree.Root.Page)
	case l.ID != 0:
		return fmt.Sprintf("layer %d (snapshot %x)", l.Number, uint64(l.ID))
	}
	return fmt.Sprintf("layer %d", l.Number)
}

func (t *tables) ownTree(l *format.Layer, tree *format.Tree, name string) {
	used, owner, missed := uint64(0), t.name(name), t.missing
	t.missing = false
	t.eachLeaf(tree, name, func(index uint64, ref format.Child, leaf *format.Leaf) {
		if _, has, _ := leaf.Summary(); !l.Freed && ref.Has != has {
			t.report.find(TableWrong, "leaf %d of %s has chunks %x, its parent says %x", index, name, has, ref.Has)
		}
		for i := range leaf {
			c := block.Chunk(index*format.LeafChunks + uint64(i))
			if leaf[i].Slot != 0 {
				used++
				t.own(leaf[i].Slot, owner, c, name)
			}
			if t.chunk != nil && !leaf[i].Empty() {
				t.chunk(l, c, &leaf[i])
			}
		}
	})
	t.counts.Chunks += int(used)
	t.chunks[l.Number] += int64(used)
	if !t.missing && !l.Freed && used != tree.Used {
		t.report.find(TableWrong, "%s has %d slots, its entry says %d", name, used, tree.Used)
	}
	t.missing = t.missing || missed
}

// eachLeaf visits the leaves of a tree that have a page.
func (t *tables) eachLeaf(tree *format.Tree, name string, each func(index uint64, ref format.Child, leaf *format.Leaf)) {
	t.tree(tree.Root, tree.Height, 0, name, func(index uint64, ref format.Child) {
		body, _ := t.page(ref, format.PageLeaf, index, name)
		if body == nil {
			return
		}
		var leaf format.Leaf
		if err := format.DecodeLeaf(body, uint32(t.im.Slots), &leaf); err != nil {
			t.damaged(ref, name, err)
			return
		}
		each(index, ref, &leaf)
	})
}

// readParked follows the chain of a replica's parked records.
func (t *tables) readParked(v *format.Volume) {
	name := replicaName(v)
	if v.Damaged {
		t.report.find(ReplicaDamaged, "%s lost records when the disk was opened: it is filled anew from the others", name)
	}
	owner := t.name("parked records of " + name)
	for next := v.Parked; next.Page != 0; {
		body, count := t.page(next, format.PageParked, uint64(v.Handle), name)
		if body == nil {
			return
		}
		at := next
		var err error
		next, err = format.DecodeParked(body, count, func(p *format.Parked) {
			t.parked = append(t.parked, Parked{*p, v})
			t.ownParked(p, owner, name)
		})
		if err != nil {
			t.damaged(at, name, err)
			return
		}
	}
}

func (t *tables) ownParked(p *format.Parked, owner uint32, name string) {
	switch {
	case p.Record.Slot != 0:
		t.own(p.Record.Slot, owner, p.Record.Range.First.Chunk(), "a parked record of "+name)
		t.counts.Parked++
	case p.At != 0:
		slot, ok := t.im.slotOf(p.At)
		switch {
		case !ok:
			t.report.find(TableWrong, "parked data of %s lies at %d, where no slot is", name, p.At)
		case t.owner[slot] == 0:
			t.owner[slot] = owner // parked records share slots
			t.counts.Parked++
		case t.owner[slot] != owner:
			t.owner[slot] = t.name("parked records of several replicas")
		}
	}
}

func replicaName(v *format.Volume) string {
	return fmt.Sprintf("replica %x (handle %d)", v.Replica[:8], v.Handle)
}

func (t *tables) name(text string) uint32 {
	t.names = append(t.names, text)
	return uint32(len(t.names) - 1)
}

func (t *tables) own(slot, owner uint32, c block.Chunk, name string) {
	switch {
	case slot == 0 || int(slot) > t.im.Slots:
		t.report.find(TableWrong, "chunk %d of %s is in slot %d, which the disk does not have", c, name, slot)
	case t.owner[slot] != 0:
		t.report.find(SlotShared, "slot %d belongs to %s and to chunk %d of %s", slot, t.names[t.owner[slot]], c, name)
	default:
		t.owner[slot] = owner
	}
}

// compare holds the bitmap against the owners found. What a page that cannot be
// read names has none, so nothing can be called lost then.
func (t *tables) compare() {
	paged := make(map[uint32]string)
	for _, page := range slices.Sorted(maps.Keys(t.pages)) {
		slot, ok := t.im.slotOf(int64(page) * format.PageSize)
		if !ok {
			t.report.find(TableWrong, "page %d of %s lies where no slot is", page, t.pages[page])
			continue
		}
		if paged[slot] == "" {
			t.counts.Pages++
		}
		paged[slot] = t.pages[page]
		if o := t.owner[slot]; o != 0 {
			t.report.find(SlotShared, "slot %d holds page %d of %s, and belongs to %s", slot, page, t.pages[page], t.names[o])
		}
	}
	t.report.Pages = len(t.pages)
	for slot := uint32(1); int(slot) <= t.im.Slots; slot++ {
		rooted := t.rooted[(slot-1)/64]&(1<<((slot-1)%64)) != 0
		switch owned := t.owner[slot] != 0; {
		case rooted && !owned && !t.missing:
			t.report.find(SlotLost, "slot %d is used by nothing", slot)
		case owned && !rooted && t.im.Super.Bitmap.Page != 0:
			t.report.find(SlotUnmarked, "slot %d of %s is free in the bitmap", slot, t.names[t.owner[slot]])
		}
	}
}

// relate checks that the layers make trees, and that each has an owner or goes.
func (t *tables) relate() {
	if t.missing {
		return // an entry may be among what could not be read
	}
	wrong := func(text string, values ...any) { t.report.find(LayerWrong, text, values...) }
	byNumber, heads := make(map[uint32]*format.Layer), make(map[uint32]uint32)
	for i := range t.volumes {
		heads[t.volumes[i].Handle] = t.volumes[i].Head
	}
	for i := range t.layers {
		l := &t.layers[i]
		if l.Freed {
			continue
		}
		parent, head := byNumber[l.Parent], heads[l.Owner]
		switch {
		case byNumber[l.Number] != nil || l.Number >= t.root.NextLayer:
			wrong("layer number %d is used twice or not given out (next is %d)", l.Number, t.root.NextLayer)
		case l.Parent != 0 && (parent == nil || parent.ID == 0 || parent.Blocks > l.Blocks):
			wrong("layer %d stands on %d, which is %s", l.Number, l.Parent, described(parent))
		case l.Owner != 0 && head == 0, l.Owner == 0 && !l.Doomed:
			wrong("layer %d is of replica %d, which does not exist, and does not go", l.Number, l.Owner)
		case (l.ID == 0) != (head == l.Number && l.Owner != 0):
			wrong("layer %d has id %x; the head of replica %d is %d", l.Number, uint64(l.ID), l.Owner, head)
		}
		byNumber[l.Number] = l
	}
	for _, handle := range slices.Sorted(maps.Keys(heads)) {
		if l := byNumber[heads[handle]]; l == nil || l.Owner != handle {
			wrong("the head of replica %d is layer %d, which is %s", handle, heads[handle], described(l))
		}
	}
}

func described(l *format.Layer) string {
	if l == nil {
		return "not there"
	}
	return fmt.Sprintf("%s of replica %d with %d blocks", layerName(l), l.Owner, l.Blocks)
}

// summarise says what the copies on the disk are and how much they use.
func (t *tables) summarise(r *Report) {
	t.counts.Bytes, t.counts.Total = t.im.slot, t.im.Slots
	t.counts.Free = t.counts.Total - t.counts.Chunks - t.counts.Pages - t.counts.Parked
	r.Slots = t.counts
	at := make(map[uint32]int)
	for i := range t.volumes {
		v := &t.volumes[i]
		at[v.Handle] = len(r.Volumes)
		r.Volumes = append(r.Volumes, Volume{
			Volume: v.Volume, Replica: v.Replica, Handle: v.Handle, Size: int64(v.Blocks) * int64(t.im.Super.BlockSize),
			Last: v.Last, Stable: v.Stable, Layers: []Layer{},
		})
	}
	for i := range t.parked {
		r.Volumes[at[t.parked[i].Volume.Handle]].Parked++
	}
	for i := range t.layers {
		l := &t.layers[i]
		known := Layer{
			Number: l.Number, Parent: l.Parent, ID: l.ID, Head: l.ID == 0 && l.Owner != 0 && !l.Freed, Goes: l.Doomed || l.Freed,
			Used: t.chunks[l.Number] * t.im.slot,
		}
		n, owned := at[l.Owner]
		if !owned || l.Freed {
			r.Nobodys = append(r.Nobodys, known)
			continue
		}
		r.Volumes[n].Layers = append(r.Volumes[n].Layers, known)
		r.Volumes[n].Used += known.Used
	}
}
