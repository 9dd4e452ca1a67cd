package format

import (
	"encoding/hex"
	"hash/crc32"
	"reflect"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

func pattern(n byte) (id block.ID) {
	for i := range id {
		id[i] = n + byte(i)
	}
	return id
}

func someSuperblock() Superblock {
	return Superblock{
		Pool: pattern(1), Disk: block.DiskID(pattern(0x40)), Sequence: 7, Settled: 6, Capacity: 1 << 30, BlockSize: 4096, Clean: true,
		Journal: Journal{Length: 64 << 20, Tail: 8192, TailBatch: 9, TailPrev: 0x11223344, OpenCount: 3, Durable: 12},
		Root:    Child{Page: 0x1234567890, CRC: 5, MaxSeq: 6, Has: 0xabcdef012345}, Bitmap: Child{Page: 99, AllZero: true},
	}
}

func someLeaf() *Leaf {
	var l Leaf
	for i := range l {
		d := &l[i]
		d.LastSeq = block.Seq(i)
		for b := range block.PerChunk {
			d.Set(b, State((i+b)%4), block.Checksum(i*b))
		}
		d.Slot = uint32(i + 1)
	}
	l[0] = Descriptor{}
	return &l
}

func someRecords() []Record {
	sums := block.Checksums{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	at := block.Position{Era: 3, Seq: 44}
	chunk := block.Range{First: 160, Count: 16}
	meta := Meta{Promised: 1, Session: 2, KnownEpoch: 3, MemberEpoch: 4, Complete: true, Resync: 5, SyncTarget: at, Overcome: 6}
	return []Record{
		{Kind: Write, FUA: true, Handle: 1, Position: at, Stable: 40, Range: block.Range{First: 35, Count: 2}, Sums: block.Checksums{21, 22}},
		{Kind: Map, Handle: 2, Position: at, Range: chunk, Slot: 17, Sums: sums},
		{Kind: ZeroRange, Handle: 2, Position: at, Range: block.Range{First: 7, Count: 16000}},
		{Kind: Nop, Handle: 2, Position: at},
		{Kind: Truncate, Handle: 2, Position: at},
		{Kind: Stable, Handle: 2, Stable: 41},
		{Kind: Config, Handle: 2, Meta: meta},
		{Kind: Create, Handle: 4, Replica: block.ReplicaID(pattern(2)), Volume: block.VolumeID(pattern(3)), Blocks: 1 << 40, Meta: meta},
		{Kind: Create, Handle: 5, Replica: block.ReplicaID(pattern(2)), Volume: block.VolumeID(pattern(3)), Blocks: 9, Meta: meta, Layer: 1 << 50, From: 4},
		{Kind: Delete, Handle: 4},
		{Kind: Snap, Handle: 4, Position: at, Layer: 1 << 60, Parent: 1 << 59},
		{Kind: DelSnap, Handle: 4, Position: at, Layer: 1 << 60},
		{Kind: Resize, Handle: 4, Position: at, Blocks: 1 << 41},
		{Kind: Open, Handle: 4, Position: at, Layer: 77, Parent: 76},
		{Kind: Drop, Handle: 4, Layer: 77},
		{Kind: Resync, Handle: 4, Layer: 9, Range: chunk, LastSeq: 8, Apply: 0xff0f, Present: 0x0305, Zero: 0xf0f0, Sums: block.Checksums{31, 32, 33, 34}},
		{Kind: Resync, Handle: 4, Range: chunk, LastSeq: 8, Apply: 0xffff, Present: 0xffff, Slot: 3, Sums: sums},
		{Kind: Wrap},
		{Kind: Reset, Handle: 4, Meta: meta},
		{Kind: Continue, Handle: 4, Position: at, Meta: meta},
	}
}

func someBatch() ([]byte, Header) {
	header := make([]byte, 2*PageSize)
	h := Header{Pages: 2, Prev: 77, Generation: 5, Batch: 100, Durable: 98, Length: 5 * PageSize}
	for _, r := range someRecords() {
		h.Bytes += r.Encode(RecordSpace(header)[h.Bytes:])
		h.Records++
	}
	h.Seal(header, pattern(1), 4<<20)
	return header, h
}

// golden is the format: a change of any of these sums is a change of what is on
// people's disks, and needs a new Version.
func TestGoldenBytes(t *testing.T) {
	page := func(fill func(b []byte)) []byte {
		b := make([]byte, PageSize)
		fill(b)
		return b
	}
	s := someSuperblock()
	batch, _ := someBatch()
	for name, c := range map[string]struct { // any order: each is checked alone
		bytes []byte
		want  uint32
	}{
		"superblock": {page(func(b []byte) { s.Encode(b, 1<<20) }), goldenSuperblock},
		"batch":      {batch, goldenBatch},
		"leaf":       {page(func(b []byte) { EncodeLeaf(b, someLeaf()); SealPage(b, PageLeaf, pattern(1), 8<<20, 48, 3) }), goldenLeaf},
		"interior": {page(func(b []byte) {
			var kids [Fanout]Child
			kids[5], kids[167] = s.Root, s.Bitmap
			EncodeInterior(b, &kids)
			SealPage(b, PageInterior, pattern(1), 8<<20, Fanout, 3)
		}), goldenInterior},
		"table": {page(func(b []byte) {
			EncodeTable(b, []Volume{someVolume()})
			SealPage(b, PageTable, pattern(1), 8<<20, 1, 0)
		}), goldenTable},
		"root": {page(func(b []byte) {
			EncodeRoot(b, &Root{NextHandle: 8, NextLayer: 9, Volumes: Table{Height: 1, Pages: 1, Root: s.Root}, Layers: Table{Height: 2, Pages: 3}})
			SealPage(b, PageRoot, pattern(1), 8<<20, 0, 0)
		}), goldenRoot},
		"layers": {page(func(b []byte) {
			EncodeLayers(b, someLayers())
			SealPage(b, PageLayers, pattern(1), 8<<20, len(someLayers()), 0)
		}), goldenLayers},
		"bitmap": {page(func(b []byte) {
			EncodeBitmap(b, []uint64{1, 2, 1 << 63})
			SealPage(b, PageBitmap, pattern(1), 8<<20, 0, 0)
		}), goldenBitmap},
		"parked": {page(func(b []byte) {
			clear(b)
			EncodeParkedNext(b, s.Root)
			p := Parked{Record: someRecords()[0], At: 1 << 33, Bad: 8}
			p.Encode(ParkedSpace(b))
			SealPage(b, PageParked, pattern(1), 8<<20, 1, 2)
		}), goldenParked},
	} {
		if got := crc32.ChecksumIEEE(c.bytes); got != c.want {
			t.Errorf("%s: sum %#x, want %#x; it starts with\n%s", name, got, c.want, hex.Dump(c.bytes[:224]))
		}
	}
}

func someVolume() Volume {
	return Volume{
		Handle: 3, Damaged: true, Replica: block.ReplicaID(pattern(2)), Volume: block.VolumeID(pattern(3)), Blocks: 1 << 20,
		Meta: Meta{Promised: 3, Complete: true, Overcome: 9}, Last: block.Position{Era: 1, Seq: 2}, Base: block.Position{Era: 1, Seq: 1}, Stable: 1,
		Head: 6, Parked: Child{Page: 3, CRC: 4}, Controls: 7,
	}
}

func someLayers() []Layer {
	tree := func(height uint8, page uint64) Tree {
		return Tree{Height: height, Used: 5 * page, Root: Child{Page: page, CRC: 2}}
	}
	return []Layer{
		{Number: 3, Owner: 3, ID: 1 << 60, Blocks: 1 << 20, Closed: block.Position{Era: 1, Seq: 2}, Tree: tree(2, 1)},
		{Number: 4, Parent: 3, Doomed: true, ID: 9, Blocks: 1 << 20, Closed: block.Position{Era: 1, Seq: 3}, Tree: tree(1, 0)},
		{Number: 6, Parent: 4, Owner: 3, Down: true, Blocks: 1 << 20, Tree: tree(1, 4), Under: tree(2, 5), Reach: 1 << 19},
		{Number: 5, Freed: true, Blocks: 7, Tree: tree(2, 3)},
	}
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	b := make([]byte, PageSize)
	s := someSuperblock()
	s.Encode(b, 1<<20)
	if got, err := DecodeSuperblock(b, 1<<20); err != nil || got != s {
		t.Errorf("superblock: %+v, %v", got, err)
	}
	EncodeTable(b, []Volume{someVolume(), {Handle: 9, Head: 1}})
	if got, err := DecodeTable(b[pageHead:], 2, nil); err != nil || !reflect.DeepEqual(got, []Volume{someVolume(), {Handle: 9, Head: 1}}) {
		t.Errorf("table: %+v, %v", got, err)
	}
	EncodeLayers(b, someLayers())
	if got, err := DecodeLayers(b[pageHead:], len(someLayers()), nil); err != nil || !reflect.DeepEqual(got, someLayers()) {
		t.Errorf("layers: %+v, %v", got, err)
	}
	var l Leaf
	EncodeLeaf(b, someLeaf())
	if err := DecodeLeaf(b[pageHead:], 48, &l); err != nil || l != *someLeaf() {
		t.Errorf("leaf: %v", err)
	}
	if err := DecodeLeaf(b[pageHead:], 47, &l); err == nil {
		t.Error("a leaf that names a slot beyond the end was taken")
	}
	for _, want := range someRecords() {
		buf := make([]byte, 1024)
		n := want.Encode(buf)
		var got Record
		if m, err := got.Decode(buf[:n]); err != nil || m != n || n != want.Size() || got != want {
			t.Errorf("record: %+v, %v, want %+v", got, err, want)
		}
		if _, err := got.Decode(buf[:n-1]); err == nil {
			t.Errorf("record of kind %d was taken though its end is missing", want.Kind)
		}
	}
	batch, want := someBatch()
	if got, err := DecodeHeader(batch, pattern(1), 4<<20); err != nil || got != want {
		t.Errorf("header: %+v, %v, want %+v", got, err, want)
	}
}

func TestLayersThatNoStoreWroteAreRefused(t *testing.T) {
	for name, l := range map[string]Layer{ // any order: each is checked alone
		"above its parent":       {Number: 3, Parent: 3, Owner: 1, Tree: Tree{Height: 1}},
		"nobody's, but not gone": {Number: 3, Tree: Tree{Height: 1}, ID: 1},
		"a head that goes":       {Number: 3, Owner: 1, Tree: Tree{Height: 1}, Doomed: true},
		"without a tree":         {Number: 3, Owner: 1},
	} {
		b := make([]byte, PageSize)
		EncodeLayers(b, []Layer{l})
		if got, err := DecodeLayers(b[pageHead:], 1, nil); err == nil {
			t.Errorf("%s: taken as %+v", name, got)
		}
	}
	if _, err := DecodeLayers(make([]byte, PageBody), TableLayers+1, nil); err == nil {
		t.Error("more layers than fit were taken")
	}
}

func TestNothingIsTakenFromElsewhere(t *testing.T) {
	batch, _ := someBatch()
	b := make([]byte, PageSize)
	crc := SealPage(b, PageLeaf, pattern(1), 8<<20, 48, 3)
	s := someSuperblock()
	super := make([]byte, PageSize)
	s.Encode(super, 0)
	errs := map[string]error{}
	_, errs["superblock of another place"] = DecodeSuperblock(super, 1<<20)
	_, errs["header of another place"] = DecodeHeader(batch, pattern(1), 5<<20)
	_, errs["header of another pool"] = DecodeHeader(batch, pattern(2), 4<<20)
	_, _, errs["page of another place"] = OpenPage(b, PageLeaf, pattern(1), 9<<20, crc, 3)
	_, _, errs["page of another pool"] = OpenPage(b, PageLeaf, pattern(2), 8<<20, crc, 3)
	_, _, errs["page of another kind"] = OpenPage(b, PageTable, pattern(1), 8<<20, crc, 3)
	_, _, errs["page of another index"] = OpenPage(b, PageLeaf, pattern(1), 8<<20, crc, 4)
	_, _, errs["older page of the place"] = OpenPage(b, PageLeaf, pattern(1), 8<<20, crc+1, 3)
	for name, err := range errs { // any order: each is checked alone
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestEveryBitIsCovered(t *testing.T) {
	batch, _ := someBatch()
	s := someSuperblock()
	super := make([]byte, PageSize)
	s.Encode(super, 0)
	for bit := 0; bit < 8*PageSize; bit += 13 {
		batch[bit/8] ^= 1 << (bit % 8)
		if _, err := DecodeHeader(batch, pattern(1), 4<<20); err == nil {
			t.Fatalf("a header with bit %d flipped was taken", bit)
		}
		batch[bit/8] ^= 1 << (bit % 8)
		super[bit/8] ^= 1 << (bit % 8)
		if _, err := DecodeSuperblock(super, 0); err == nil {
			t.Fatalf("a superblock with bit %d flipped was taken", bit)
		}
		super[bit/8] ^= 1 << (bit % 8)
	}
}

func FuzzRecord(f *testing.F) {
	for _, r := range someRecords() {
		b := make([]byte, r.Size())
		r.Encode(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Record
		n, err := r.Decode(data)
		if err != nil {
			return
		}
		again := make([]byte, 1024)
		if m := r.Encode(again); m != n {
			t.Fatalf("decoded from %d bytes, encoded to %d", n, m)
		}
		var twice Record
		if _, err := twice.Decode(again[:n]); err != nil || twice != r {
			t.Fatalf("%+v became %+v (%v)", r, twice, err)
		}
	})
}

func FuzzPages(f *testing.F) {
	b := make([]byte, PageSize)
	EncodeLeaf(b, someLeaf())
	f.Add(b)
	EncodeTable(b, []Volume{someVolume()})
	f.Add(append([]byte(nil), b...))
	EncodeLayers(b, someLayers())
	f.Add(append([]byte(nil), b...))
	batch, _ := someBatch()
	f.Add(batch)
	f.Fuzz(func(_ *testing.T, data []byte) {
		page := make([]byte, 2*PageSize)
		copy(page, data)
		var l Leaf
		_ = DecodeLeaf(page[pageHead:PageSize], 10, &l)
		_, _ = DecodeTable(page[pageHead:PageSize], int(page[0]), nil)
		_, _ = DecodeLayers(page[pageHead:PageSize], int(page[0]), nil)
		_, _ = DecodeRoot(page[pageHead:PageSize])
		_, _ = DecodeParked(page[pageHead:PageSize], int(page[0]), func(*Parked) {})
		_, _ = DecodeSuperblock(page, 0)
		if h, err := DecodeHeader(page, pattern(1), 4<<20); err == nil && h.Bytes > RecordsRoom(h.Pages) {
			panic("more records than room")
		}
	})
}
