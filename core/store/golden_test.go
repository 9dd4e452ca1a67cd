package store

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store/check"
	"github.com/lagan-storage/lagan/core/store/format"
)

// makeGolden adds images as this version writes them. Those that are there stay:
// they are the disks of people.
var makeGolden = flag.String("make-golden", "", "write golden images of this version, with names that begin so")

// goldens are images of disks, by how they are made: testdata/NAME.img.gz, and what
// is in them in testdata/NAME.txt.
func goldens() map[string]func(r *rig) {
	return map[string]func(r *rig){
		"clean":   func(r *rig) { r.lived(); r.home(); r.close() },
		"unclean": func(r *rig) { r.lived(); r.tear() },
		"merging": func(r *rig) { r.lived(); r.mergeHalf() },
	}
}

func goldenGeometry() Geometry {
	return Geometry{Disk: block.DiskID{0xd1, 0x5c}, Capacity: 12 << 20, BlockSize: 4096, JournalBytes: 1 << 20}
}

// lived gives a disk volumes with snapshots, a clone, trims, whole chunks, records
// that were parked, and a journal with all of that.
func (r *rig) lived() {
	first, second := r.create(1, 112), r.create(2, 48)
	seq := 0
	at := func() block.Position { seq++; return pos(1, seq) }
	for c := range block.Block(5) {
		r.mustWrite(first, at(), c*16, 16) // whole chunks: MAP
	}
	r.mustWrite(first, at(), 3, 2)
	r.zero(first, at(), 20, 30)
	r.snap(first, at(), 101, 0)
	r.mustWrite(first, at(), 4, 3)
	r.mustWrite(first, at(), 48, 16)
	r.snap(first, at(), 102, 0)
	r.mustWrite(first, at(), 66, 5)
	r.solid(first)
	r.home()
	clone := r.clone(3, 112, Image{From: first, Layer: 101})
	r.mustWrite(clone, pos(1, 1), 0, 2)
	r.mustWrite(clone, pos(1, 2), 96, 16)
	r.solid(clone)
	r.mustWrite(second, pos(1, 1), 0, 16)
	r.mustWrite(second, pos(1, 2), 17, 4)
	r.solid(second)
	r.mustWrite(second, pos(1, 3), 18, 1) // not stable: it is parked
	r.mustWrite(second, pos(1, 4), 32, 16)
	r.settle()
	r.sync(second)
	r.home()
	r.mustWrite(first, at(), 0, 1) // from here on the journal has it
	r.zero(first, at(), 64, 1)
	r.snap(first, at(), 103, 0)
	r.mustWrite(first, at(), 1, 1)
	r.mustWrite(second, pos(2, 5), 33, 2)
	r.settle()
	r.sync(first)
	r.settle()
	r.mustWrite(first, at(), 98, 2) // its header says that what is before it is durable
	r.settle()
}

func (r *rig) mustWrite(h Handle, at block.Position, first block.Block, count uint32) {
	r.t.Helper()
	if st := r.write(h, at, first, count); st != message.OK {
		r.t.Fatalf("write: status %d", st)
	}
}

// tear ends a life in the middle of a write to the journal, with an update of the
// superblock that one copy has not.
func (r *rig) tear() {
	r.mustWrite(1, r.after(1), 2, 8)
	r.settle()
	last := r.disk.pending[len(r.disk.pending)-1]
	half := len(last.old) / 2 / r.disk.sector * r.disk.sector
	copy(r.disk.data[last.offset+int64(half):], last.old[half:])
	clear(r.disk.data[3*format.SuperblockStride:][:512])
}

// mergeHalf deletes a snapshot and ends where the root has two trees in one layer.
func (r *rig) mergeHalf() {
	at := r.after(1)
	r.delSnap(1, at, 102)
	r.sync(1)
	r.settle()
	r.stable(1, at.Seq)
	united := func() bool { return slices.ContainsFunc(r.store.layers, func(l *layer) bool { return l.under != nil }) }
	for range 10_000 {
		if !r.step() {
			r.wait(1e9)
		}
		if united() {
			r.store.ckpt.wanted = true
		}
		im, err := check.Open(bytes.NewReader(r.disk.data), int64(len(r.disk.data)))
		if err != nil {
			continue // between two of its superblocks
		}
		root, _ := im.Contents(nil)
		if slices.ContainsFunc(root.Layers, func(l format.Layer) bool { return l.Under.Height > 0 }) {
			return
		}
	}
	r.t.Fatal("no root was ever written while two trees were united")
}

func (r *rig) close() {
	r.store.Close(r.now, &r.out)
	r.settle()
	r.expect(Closed)
}

// listing says what is on a disk: the checksum of every block of every image of
// every replica, those that read as zeroes left out.
func (r *rig) listing() string {
	var text strings.Builder
	for _, info := range r.store.Replicas(nil) {
		fmt.Fprintf(&text, "replica %x: %d blocks, last %d.%d, stable %d\n", info.Replica[0], info.Blocks, info.LastAccepted.Era, info.LastAccepted.Seq, info.Stable)
		for _, l := range r.store.Layers(info.Handle, nil) {
			if !l.Own || l.Deleted {
				continue
			}
			fmt.Fprintf(&text, "  layer %d on %d:", l.ID, l.Parent)
			r.listLayer(&text, info, l.ID)
			text.WriteString("\n")
		}
	}
	return text.String()
}

func (r *rig) listLayer(text *strings.Builder, info ReplicaInfo, id block.LayerID) {
	zero := block.ChecksumOf(make([]byte, r.size))
	for b := range block.Block(info.Blocks) {
		r.store.Read(r.now, info.Handle, id, block.Range{First: b, Count: 1}, r.next(), &r.out)
		r.settle()
		res := r.expect(ReadDone)
		if res.Status != message.OK {
			fmt.Fprintf(text, " %d=status-%d", b, res.Status)
		} else if sum := block.ChecksumOf(res.Payload.Bytes()); sum != zero {
			fmt.Fprintf(text, " %d=%08x", b, uint32(sum))
		}
	}
}

// rigOver is a rig over a disk that exists.
func rigOver(t *testing.T, data []byte) *rig {
	t.Helper()
	r := newRig(t, 1, goldenGeometry())
	r.disk.data = data
	r.reopen()
	return r
}

func TestGoldenImagesOpenAndHaveWhatTheyHad(t *testing.T) {
	if *makeGolden != "" {
		for name, live := range goldens() { // any order: each is made alone
			writeGolden(t, *makeGolden+"-"+name, live)
		}
	}
	images, err := filepath.Glob("testdata/*.img.gz")
	if err != nil || len(images) < len(goldens()) {
		t.Fatalf("images %q (%v), want at least %d", images, err, len(goldens()))
	}
	for _, name := range images {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data := readGolden(t, name)
			im, err := check.Open(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if err := check.Run(im).Err(); err != nil {
				t.Errorf("before it was opened: %v", err)
			}
			r := rigOver(t, data)
			want, err := os.ReadFile(strings.TrimSuffix(name, ".img.gz") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			if got := r.listing(); got != string(want) {
				t.Errorf("it has\n%s\nnot\n%s", got, want)
			}
			r.usable()
			im, err = check.Open(bytes.NewReader(r.disk.data), int64(len(r.disk.data)))
			if err != nil {
				t.Fatal(err)
			}
			if report := check.Run(im); report.Err() != nil || !report.Clean {
				t.Errorf("after it was closed: clean %v, %v", report.Clean, report.Err())
			}
		})
	}
}

// after returns the next position of a replica's stream.
func (r *rig) after(h Handle) block.Position {
	info, _ := r.store.Info(h)
	return block.Position{Era: max(1, info.LastAccepted.Era), Seq: info.LastAccepted.Seq + 1}
}

// usable shows that a disk takes writes and closes in order.
func (r *rig) usable() {
	for _, info := range r.store.Replicas(nil) {
		at := block.Position{Era: info.LastAccepted.Era + 1, Seq: info.LastAccepted.Seq + 1}
		r.mustWrite(info.Handle, at, 5, 3)
		r.solid(info.Handle)
		if got := r.stamp(info.Handle, 6); got != stampOf(at) {
			r.t.Errorf("block 6 of replica %x reads as %#x", info.Replica[0], got)
		}
	}
	r.home()
	r.close()
}

func readGolden(t *testing.T, name string) []byte {
	t.Helper()
	packed, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return data
}

func writeGolden(t *testing.T, name string, live func(*rig)) {
	t.Helper()
	r := newRig(t, 4, goldenGeometry())
	live(r)
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(r.disk.data) // to memory: never fails
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name = filepath.Join("testdata", name)
	if _, err := os.Stat(name + ".img.gz"); err == nil {
		t.Fatalf("%s.img.gz is there: an image is never made anew, choose another name", name)
	}
	for file, content := range map[string][]byte{ // any order: each is a file
		".img.gz": packed.Bytes(),
		".txt":    []byte(rigOver(t, slices.Clone(r.disk.data)).listing()),
	} {
		if err := os.WriteFile(name+file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDisksOfNewerVersionsAreRefusedByName(t *testing.T) {
	for name, c := range map[string]struct { // any order: each is tried alone
		change func(page []byte)
		want   string
	}{
		"version": {func(page []byte) { binary.LittleEndian.PutUint16(page[4:], 7) }, "it has version 7 of the format, this version of Lagan reads up to 1"},
		"feature": {func(page []byte) { binary.LittleEndian.PutUint64(page[76:], 0x8004) }, "features 0x8004"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, goldenGeometry())
			r.close()
			for i := range format.SuperblockCopies {
				page := r.disk.data[i*format.SuperblockStride:][:format.PageSize]
				c.change(page)
				binary.LittleEndian.PutUint32(page[8:], 0)
				binary.LittleEndian.PutUint32(page[8:], crc32.Checksum(page, crc32.MakeTable(crc32.Castagnoli)))
			}
			before := slices.Clone(r.disk.data)
			r.open()
			if res := r.expect(Failed); !strings.Contains(res.Text, c.want) || !strings.Contains(res.Text, "upgrade this node") {
				t.Errorf("refused with %q, want %q", res.Text, c.want)
			}
			if !bytes.Equal(before, r.disk.data) {
				t.Error("a disk that was refused was written to")
			}
			if _, err := check.Open(bytes.NewReader(before), int64(len(before))); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the checker says %v, want %q", err, c.want)
			}
		})
	}
}
