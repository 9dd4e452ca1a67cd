package linearizability

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

// busy returns an honest history by 4 clients. 16 blocks and 2,000 operations
// are what one seed of the simulator leaves.
func busy(blocks, ops int) *History {
	const clients = 4
	rng := rand.New(rand.NewPCG(9, 10))
	h := NewHistory(block.VolumeID{1})
	image := make([]uint64, blocks)
	type pending struct {
		op    Op
		write bool
		b     int
		value uint64
		busy  bool
	}
	var open [clients]pending
	now := int64(0)
	for next := uint64(1); ops > 0; {
		now += int64(rng.IntN(1000))
		c := rng.IntN(clients)
		p := &open[c]
		if p.busy {
			if p.write {
				h.Return(now, p.op)
			} else {
				h.Return(now, p.op, p.value)
			}
			p.busy = false
			continue
		}
		ops--
		*p = pending{write: rng.IntN(2) == 0, b: rng.IntN(blocks), busy: true}
		at := block.Range{First: block.Block(p.b), Count: 1}
		if p.write {
			next++
			image[p.b] = next
			p.op = h.Call(now, c, Write, at, next)
		} else {
			p.value = image[p.b]
			p.op = h.Call(now, c, Read, at)
		}
	}
	return h
}

func benchmarkCheck(b *testing.B, blocks, ops int, thorough bool) {
	h := busy(blocks, ops)
	c := &Checker{Thorough: thorough}
	b.ReportAllocs()
	for b.Loop() {
		if v := c.Check(h); v != nil {
			b.Fatal(v)
		}
	}
	b.ReportMetric(float64(h.Len())*float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// The goal is 5 million operations a second for Zones, half a million for
// porcupine, on blocks with 4,000 operations each.
func BenchmarkZones(b *testing.B)     { benchmarkCheck(b, 25, 100_000, false) }
func BenchmarkPorcupine(b *testing.B) { benchmarkCheck(b, 25, 100_000, true) }

func BenchmarkZonesOfOneSeed(b *testing.B)      { benchmarkCheck(b, 16, 2_000, false) }
func BenchmarkZonesOfAMillion(b *testing.B)     { benchmarkCheck(b, 16, 1_000_000, false) }
func BenchmarkPorcupineOfOneSeed(b *testing.B)  { benchmarkCheck(b, 16, 2_000, true) }
func BenchmarkPorcupineOfAMillion(b *testing.B) { benchmarkCheck(b, 16, 1_000_000, true) }

// BenchmarkPorcupineWithoutPause measures 4,000 operations on one block that is
// never at rest, so that nothing can be cut.
func BenchmarkPorcupineWithoutPause(b *testing.B) {
	h := restless(2_000)
	c := &Checker{Thorough: true}
	b.ReportAllocs()
	for b.Loop() {
		if v := c.Check(h); v != nil {
			b.Fatal(v)
		}
	}
	b.ReportMetric(float64(h.Len())*float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// restless returns a legal history of one block in which a read follows a read
// and overlaps two writes; the last read is still under way.
func restless(writes int) *History {
	h := NewHistory(block.VolumeID{1})
	at := block.Range{First: testBlock, Count: 1}
	now, value := int64(0), uint64(0)
	tick := func() int64 { now += 10; return now }
	read := h.Call(tick(), 0, Read, at)
	for range writes {
		value++
		w := h.Call(tick(), 1, Write, at, value)
		h.Return(tick(), read, value-1)
		read = h.Call(tick(), 0, Read, at)
		h.Return(tick(), w)
	}
	return h
}

// BenchmarkPowerLosses measures histories that porcupine has to judge in part.
func BenchmarkPowerLosses(b *testing.B) {
	rng := rand.New(rand.NewPCG(11, 12))
	h := record(b, strings.Join(runHonest(rng, 3, 2000, false), " "))
	c := &Checker{}
	b.ReportAllocs()
	for b.Loop() {
		if v := c.Check(h); v != nil {
			b.Fatal(v)
		}
	}
	b.ReportMetric(float64(h.Len())*float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// BenchmarkRecord measures what recording costs.
func BenchmarkRecord(b *testing.B) {
	h := NewHistory(block.VolumeID{1})
	at := block.Range{First: 7, Count: 1}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if h.Len() > 10_000 {
			h.Reset(h.volume)
		}
		h.Return(int64(i), h.Call(int64(i), 1, Write, at, uint64(i)))
	}
}

func BenchmarkStamp(b *testing.B) {
	for _, size := range []int{64, 4096} {
		b.Run(map[int]string{64: "64B", 4096: "4KiB"}[size], func(b *testing.B) {
			data := make([]byte, size)
			b.SetBytes(int64(2 * size))
			for b.Loop() {
				Stamp{Block: 9, Writer: 3, Seq: 77}.Encode(data)
				if _, err := Decode(data, block.VolumeID{}, 9); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
