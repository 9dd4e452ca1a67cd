package local

import (
	"path/filepath"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
)

func TestOperationsEndOnceAndSurviveAKill(t *testing.T) {
	const size = 64 << 20
	p := &Params{Path: filepath.Join(t.TempDir(), "disk"), Size: size, Sparse: true, Pool: host.NewPool(), Clock: host.Boottime}
	if err := Format(p); err != nil {
		t.Skip(err) // no O_DIRECT here
	}
	d, _, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.Create(1, size/4)
	if err != nil {
		t.Fatal(err)
	}
	data := p.Pool.Get(2 * block.PerChunk * block.Size)
	clear(data.Bytes())
	sums := make([]block.Checksum, 2*block.PerChunk)
	for i := range sums {
		sums[i] = block.ChecksumOf(data.Bytes()[:block.Size])
	}
	for _, o := range []Operation{
		{Kind: Write, Offset: 3 * block.Size, Length: data.Len(), Data: data, Sums: sums}, // in three chunks
		{Kind: Snapshot, Layer: 1},
		{Kind: Flush},
		{Kind: Read, Length: data.Len()},
		{Kind: Delete, Layer: 1},
	} {
		if err := v.Do(o); err != nil {
			t.Fatalf("operation %d: %v", o.Kind, err)
		}
	}
	if err := v.Do(Operation{Kind: Snapshot}); err == nil {
		t.Error("a snapshot without a number is taken")
	}
	again := 0
	ended := make(chan error)
	l := v.Lane(func(err error) bool {
		if again++; again < 100 && err == nil {
			return true
		}
		go func() { ended <- err }()
		return false
	})
	l.Operation = Operation{Kind: Read, Length: block.Size}
	l.Begin()
	if err := <-ended; err != nil || again != 100 {
		t.Errorf("%d reads, %v", again, err)
	}
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if d, _, err = Open(p); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
