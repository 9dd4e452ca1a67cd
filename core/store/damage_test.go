package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/check"
	"github.com/lagan-storage/lagan/core/store/format"
)

// examine checks an image; what cannot even be opened has one finding.
func examine(data []byte) *check.Report {
	im, err := check.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return &check.Report{Findings: []check.Finding{{Kind: check.SuperblockDamaged, Text: err.Error()}}}
	}
	return check.Run(im)
}

func livedDisk(t *testing.T) []byte {
	t.Helper()
	r := newRig(t, 4, goldenGeometry())
	r.lived()
	return r.disk.data
}

func TestDiskThatLivedHasNothingWrong(t *testing.T) {
	r := examine(livedDisk(t))
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	if len(r.Volumes) != 3 || len(r.Volumes[0].Layers) < 3 || r.Volumes[1].Parked == 0 || r.Journal.Records == 0 || r.Clean || r.BlocksRead == 0 {
		t.Errorf("report %+v", r)
	}
	if s := r.Slots; s.Total != s.Chunks+s.Pages+s.Parked+s.Free || s.Chunks == 0 || s.Pages == 0 || s.Parked == 0 || s.Free < 0 {
		t.Errorf("slots %+v", s)
	}
}

// TestDamageIsFoundAndNamed damages one thing of a disk that lived.
func TestDamageIsFoundAndNamed(t *testing.T) {
	pristine := livedDisk(t)
	im, err := check.Open(bytes.NewReader(pristine), int64(len(pristine)))
	if err != nil {
		t.Fatal(err)
	}
	var home int64 // of a block that is at home and that the journal does not have
	_, _ = im.Contents(func(l *format.Layer, _ block.Chunk, d *format.Descriptor) {
		if home == 0 && l.ID != 0 && d.State(7) == format.Present {
			home = im.SlotAt(d.Slot) + 7*4096
		}
	})
	pages, batches := im.Pages(), im.Journal().Batches
	first, proven := batches[0], im.Journal().Durable
	withData := batches[slices.IndexFunc(batches, func(b check.Batch) bool {
		return b.Batch <= proven && slices.ContainsFunc(b.Records, func(r format.Record) bool { return r.DataBlocks() > 0 })
	})]
	for name, c := range map[string]struct { // any order: each damages its own copy
		at   int64
		kind check.Kind
		text string
	}{
		"a block at home": {home + 100, check.ChunkDamaged, "blocks 7 are not what was written"},
		"a page":          {pages[len(pages)/2] + 1000, check.PageDamaged, "checksum does not match"},
		"the root":        {int64(im.Super.Root.Page)*format.PageSize + 70, check.PageDamaged, "of the root"},
		"a durable batch": {first.Offset + 20, check.JournalDamaged, "were durable and are not there"},
		"data of a batch": {withData.Offset + int64(withData.Pages)*format.PageSize + 9, check.JournalDamaged, "is not what was written"},
	} {
		data := slices.Clone(pristine)
		data[c.at] ^= 4
		r := examine(data)
		if err := r.Err(c.kind); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %s with %q among %d findings, the first %v", name, err, c.kind, c.text, len(r.Findings), r.Err())
		}
		if c.kind == check.PageDamaged && r.Err(check.SlotLost) != nil {
			t.Errorf("%s: what an unreadable page names is called lost: %v", name, r.Err(check.SlotLost))
		}
	}
}

func TestTornEndIsNoDamage(t *testing.T) {
	r := newRig(t, 4, goldenGeometry())
	r.lived()
	r.tear()
	if report := examine(r.disk.data); report.Err() != nil || !report.Journal.Torn || len(report.Notes) < 3 {
		t.Errorf("torn %v, notes %q, %v", report.Journal.Torn, report.Notes, report.Err())
	}
}

func TestSuperblockOfAClosedDiskIsComparedWithItsCopies(t *testing.T) {
	r := newRig(t, 4, goldenGeometry())
	r.lived()
	r.home()
	r.close()
	if report := examine(r.disk.data); report.Err() != nil || !report.Clean || len(report.Notes) != 0 {
		t.Errorf("%+v, %v", report, report.Err())
	}
	r.disk.data[2*format.SuperblockStride+99] ^= 1
	if err := examine(r.disk.data).Err(check.SuperblockDamaged); err == nil || !strings.Contains(err.Error(), "copy 2") {
		t.Errorf("found %v", err)
	}
}

// forger changes pages and makes every checksum above them right again: what a
// store that has gone wrong could have written.
type forger struct {
	data   []byte
	parent map[int64]place // where the checksum of each page is kept
}

type place struct {
	page   int64 // address; 0: the superblock
	offset int
}

func newForger(data []byte) *forger {
	f := &forger{data: data, parent: map[int64]place{}}
	s, _ := format.DecodeSuperblock(data[:format.PageSize], 0)
	root := f.under(s.Root, place{0, 136})
	f.tree(s.Bitmap, place{0, 160}, 1, func(int64) {})
	f.tree(child(data[root+64+16:]), place{root, 64 + 16}, 1, func(page int64) {
		for i := range int(binary.LittleEndian.Uint32(data[page+12:])) {
			at := 64 + i*184 + 152
			for next, in := child(data[page+int64(at):]), (place{page, at}); next.Page != 0; {
				page := f.under(next, in)
				next, in = child(data[page+64:]), place{page, 64}
			}
		}
	})
	f.tree(child(data[root+64+48:]), place{root, 64 + 48}, 1, func(page int64) {
		for i := range int(binary.LittleEndian.Uint32(data[page+12:])) {
			for at, height := range map[int]byte{64: 13, 96: 14} { // any order: into a map
				at += 64 + i*120
				f.tree(child(data[page+int64(at):]), place{page, at}, data[page+64+int64(i*120)+int64(height)], func(int64) {})
			}
		}
	})
	return f
}

func child(b []byte) format.Child {
	return format.Child{Page: binary.LittleEndian.Uint64(b) & (1<<40 - 1), CRC: binary.LittleEndian.Uint32(b[8:])}
}

func (f *forger) under(c format.Child, in place) int64 {
	page := int64(c.Page) * format.PageSize
	f.parent[page] = in
	return page
}

func (f *forger) tree(c format.Child, in place, height byte, leaf func(page int64)) {
	if c.Page == 0 {
		return
	}
	page := f.under(c, in)
	if height == 0 {
		leaf(page)
		return
	}
	for i := range format.Fanout {
		at := 64 + i*24
		f.tree(child(f.data[page+int64(at):]), place{page, at}, height-1, leaf)
	}
}

// seal makes the checksum of a page right, and those of all above it.
func (f *forger) seal(page int64) {
	for page != 0 {
		in := f.parent[page]
		sum := reseal(f.data[page:][:format.PageSize])
		for i := range format.SuperblockCopies {
			at := in.page + int64(in.offset)
			if in.page == 0 {
				at += int64(i) * format.SuperblockStride
			}
			binary.LittleEndian.PutUint32(f.data[at+8:], sum)
		}
		page = in.page
	}
	for i := range format.SuperblockCopies {
		reseal(f.data[i*format.SuperblockStride:][:format.PageSize])
	}
}

func reseal(page []byte) uint32 {
	binary.LittleEndian.PutUint32(page[8:], 0)
	sum := crc32.Checksum(page, crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(page[8:], sum)
	return sum
}

// forge changes bytes of one page, the superblock or a header of the journal, as
// seed says.
func forge(pristine []byte, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 7))
	data := slices.Clone(pristine)
	f := newForger(data)
	im, err := check.Open(bytes.NewReader(pristine), int64(len(pristine)))
	if err != nil {
		return data
	}
	change := func(at int64, from, to int) {
		for range 1 + random.IntN(3) {
			i := at + int64(from+random.IntN(to-from))
			if random.IntN(2) == 0 {
				data[i] ^= 1 << random.IntN(8)
			} else {
				data[i] = byte(random.Uint32())
			}
		}
	}
	switch pages := im.Pages(); random.IntN(8) {
	case 0:
		at, n := 36+random.IntN(150), 1+random.IntN(8)
		for i := range format.SuperblockCopies {
			for k := range n {
				data[i*format.SuperblockStride+at+k] = byte(seed >> k)
			}
			reseal(data[i*format.SuperblockStride:][:format.PageSize])
		}
	case 1:
		list := im.Journal().Batches
		b := list[random.IntN(len(list))]
		change(b.Offset, 40, 400)
		reseal(data[b.Offset:][:b.Pages*format.PageSize])
	default:
		page := pages[random.IntN(len(pages))]
		end := []int{200, 600, format.PageSize}[random.IntN(3)]
		change(page, 64, end)
		if random.IntN(4) == 0 {
			change(page, 12, 16) // the count
		}
		f.seal(page)
	}
	return data
}

// judge checks a forged disk and has a store open it: neither may panic.
func judge(t *testing.T, data []byte) (found, opened bool) {
	found = examine(data).Err() != nil
	r := newRig(t, 1, goldenGeometry())
	r.disk.data = data
	r.open()
	return found, slices.ContainsFunc(r.results, func(res Result) bool { return res.Kind == Opened })
}

func TestForgedDisksAreRefusedOrOpened(t *testing.T) {
	pristine := livedDisk(t)
	if !bytes.Equal(pristine, forgeNothing(pristine)) {
		t.Fatal("the forger does not know the format: sealing what was not changed changes it")
	}
	seeds := 1000
	if testing.Short() {
		seeds = 200
	}
	wrong, opened := 0, 0
	for seed := range seeds {
		found, open := judge(t, forge(pristine, uint64(seed)))
		if found {
			wrong++
		}
		if open {
			opened++
		}
	}
	t.Logf("of %d forged disks %d have findings and %d are opened", seeds, wrong, opened)
	if wrong < seeds/4 || opened < seeds/4 || opened == seeds {
		t.Errorf("%d of %d forged disks have findings and %d are opened: the forger hardly forges", wrong, seeds, opened)
	}
}

// forgeNothing seals every page as it is.
func forgeNothing(pristine []byte) []byte {
	f := newForger(slices.Clone(pristine))
	for page := range f.parent { // any order: nothing changes
		f.seal(page)
	}
	return f.data
}

func FuzzForgedDisk(f *testing.F) {
	r := newRig(&testing.T{}, 4, goldenGeometry())
	r.lived()
	pristine := r.disk.data
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { judge(t, forge(pristine, seed)) })
}

func TestPageThatTheDeviceDoesNotReturnIsNotCalledMalformed(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.create(1, 64)
	r.write(h, pos(1, 1), 1, 1)
	r.home()
	r.disk.badRead[r.store.pageAddress(r.store.super.Root.Page)] = true
	r.open()
	if text := r.expect(Failed).Text; !strings.Contains(text, "the device returned an error") {
		t.Errorf("the root page cannot be read, and the store says: %s", text)
	}
}
