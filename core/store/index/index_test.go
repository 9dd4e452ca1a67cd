package index

import (
	"math/rand/v2"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

func TestVersionsKeepTheirOrderAndSums(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	x := New(48)
	want := make(map[Key][]block.Seq) // oldest first
	for n := block.Seq(1); n < 20_000; n++ {
		key := Key{Layer: uint32(1 + r.IntN(3)), Chunk: block.Chunk(r.IntN(100))}
		if list := want[key]; r.IntN(2) == 0 && len(list) > 0 {
			c, i := x.Find(key), r.IntN(len(list))
			v := x.Chunk(c).Newest
			for x.Version(v).LastSeq != list[i] {
				v = x.Older(v)
			}
			x.Remove(c, v)
			if want[key] = append(list[:i:i], list[i+1:]...); len(want[key]) == 0 {
				x.Forget(c)
				delete(want, key)
			}
			continue
		}
		mask := uint16(1 + r.IntN(0xffff))
		var sums block.Checksums
		for i := range sums {
			sums[i] = block.Checksum(uint64(n)<<4 + uint64(i))
		}
		x.Add(x.Ensure(key), Version{Mask: mask, LastSeq: n, At: int64(n) << 20}, &sums)
		want[key] = append(want[key], n)
	}
	total := 0
	for key, list := range want { // any order: each chunk is checked alone
		total += len(list)
		v := x.Chunk(x.Find(key)).Newest
		for i := len(list) - 1; i >= 0; i-- {
			version := x.Version(v)
			if version.LastSeq != list[i] {
				t.Fatalf("%v: version %d where %d should be", key, version.LastSeq, list[i])
			}
			rank := 0
			for b := range block.PerChunk {
				if version.Mask&(1<<b) == 0 {
					continue
				}
				if x.Sum(version, b) != block.Checksum(uint64(list[i])<<4+uint64(rank)) || version.Place(b, 64) != int64(list[i])<<20+int64(64*rank) {
					t.Fatalf("%v: wrong sum or place of block %d", key, b)
				}
				rank++
			}
			v = x.Older(v)
		}
	}
	if x.Len() != total || x.Chunks() != len(want) {
		t.Fatalf("%d versions of %d chunks, want %d of %d", x.Len(), x.Chunks(), total, len(want))
	}
	seen := 0
	for h := range uint32(5) {
		for i := x.First(h); i != None; i = x.Next(i) {
			seen++
		}
	}
	if seen != len(want) {
		t.Fatalf("the lists hold %d chunks, want %d", seen, len(want))
	}
}
