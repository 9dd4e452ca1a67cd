package block_test

import (
	"bytes"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

func TestRangesOverlapOnlyWhenTheyShareABlock(t *testing.T) {
	r := block.Range{First: 10, Count: 5}
	for _, c := range []struct {
		other block.Range
		want  bool
	}{
		{block.Range{First: 5, Count: 5}, false},
		{block.Range{First: 5, Count: 6}, true},
		{block.Range{First: 14, Count: 1}, true},
		{block.Range{First: 15, Count: 1}, false},
		{block.Range{First: 12, Count: 0}, false},
	} {
		if got := r.Overlaps(c.other) && !c.other.Empty(); got != c.want {
			t.Errorf("%v overlaps %v: %v, want %v", r, c.other, got, c.want)
		}
	}
}

func TestRangeInOneChunk(t *testing.T) {
	for _, c := range []struct {
		r    block.Range
		want bool
	}{
		{block.Range{First: 0, Count: block.PerChunk}, true},
		{block.Range{First: 1, Count: block.PerChunk}, false},
		{block.Range{First: 15, Count: 1}, true},
		{block.Range{First: 15, Count: 2}, false},
		{block.Range{First: 0, Count: 0}, false},
	} {
		if got := c.r.InOneChunk(); got != c.want {
			t.Errorf("%v in one chunk: %v, want %v", c.r, got, c.want)
		}
	}
}

func TestPositionsAreOrderedByEraThenSeq(t *testing.T) {
	ordered := []block.Position{{Era: 1, Seq: 9}, {Era: 2, Seq: 3}, {Era: 2, Seq: 4}, {Era: 3, Seq: 1}}
	for i := range ordered {
		for j := range ordered {
			if got := ordered[i].Less(ordered[j]); got != (i < j) {
				t.Errorf("%v less than %v: %v", ordered[i], ordered[j], got)
			}
		}
	}
}

func TestIdentityIsRefusedUnlessItIsWhole(t *testing.T) {
	var id block.VolumeID
	for _, text := range []string{"", "12", "zz000000000000000000000000000000", "000000000000000000000000000000000"} {
		if err := id.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken for an identity", text)
		}
	}
	want := block.VolumeID{1, 2, 0xff}
	if err := id.UnmarshalText([]byte(want.String())); err != nil || id != want {
		t.Errorf("%v read back as %v, %v", want, id, err)
	}
}

// The value is the one that RFC 3720 gives for 32 bytes of zeroes.
func TestChecksumIsCRC32C(t *testing.T) {
	if got := block.ChecksumOf(make([]byte, 32)); got != 0x8a9136aa {
		t.Errorf("checksum %#x, want 0x8a9136aa", got)
	}
}

func TestSlabGoesBackWithTheLastReference(t *testing.T) {
	returned := 0
	slab := block.NewSlab(make([]byte, 8), func(*block.Slab) { returned++ })
	b := slab.Buffer(8)
	view := b.Slice(2, 4).Retain()
	b.Release()
	if returned != 0 {
		t.Fatal("returned while a view holds it")
	}
	view.Release()
	if returned != 1 {
		t.Fatalf("returned %d times, want once", returned)
	}
	slab.Buffer(4).Release()
	if returned != 2 {
		t.Fatal("a slab handed out again was not returned again")
	}
}

func TestReferencesAreCountedStrictly(t *testing.T) {
	mustPanic := func(what string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s went unnoticed", what)
			}
		}()
		f()
	}
	released := block.Heap{}.Get(4)
	released.Release()
	mustPanic("a second release", released.Release)
	gone := block.Heap{}.Get(4)
	gone.Release()
	mustPanic("a retain after the last release", func() { gone.Retain() })
}

func TestBufferIsZeroOnlyIfEveryByteIs(t *testing.T) {
	for _, length := range []int{0, 1, 2, 7, 64, 4096} {
		data := make([]byte, length)
		b := block.NewSlab(data, nil).Buffer(length)
		if !b.Zero() {
			t.Errorf("%d zeroes are not zero", length)
		}
		for i := range data {
			data[i] = 1
			if b.Zero() {
				t.Errorf("%d bytes are zero though byte %d is not", length, i)
			}
			data[i] = 0
		}
	}
	odd := []byte{9, 0, 0, 9}
	if view := block.NewSlab(odd, nil).Buffer(4).Slice(1, 3); !view.Zero() {
		t.Error("what is outside a view counts")
	}
}

// BenchmarkZero: a chunk that is zero, data, and the worst data there is.
func BenchmarkZero(b *testing.B) {
	const length = block.PerChunk * block.Size
	worst := make([]byte, length)
	worst[length-2] = 1
	data := bytes.Repeat([]byte("data"), length/4)
	for name, content := range map[string][]byte{"zeroes": make([]byte, length), "data": data, "worst": worst} { // any order: each is measured alone
		buffer := block.NewSlab(content, nil).Buffer(length)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buffer.Zero()
			}
		})
	}
}
