package bench

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/hosts"
	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/store"
)

// openClient starts a cluster and serves a filled volume of it.
func openClient(b *testing.B, plain bool, copies ...int) *client {
	b.Helper()
	// As the daemon does: a blocking disk call holds a processor.
	before := runtime.GOMAXPROCS(max(runtime.NumCPU(), 16))
	b.Cleanup(func() { runtime.GOMAXPROCS(before) })
	c, err := hosts.Open(b.Context(), hosts.Params{
		Dir: b.TempDir(), Nodes: nodes, Plain: plain, Disk: 1 << 30, Limits: store.Limits{CacheBytes: 16 << 20, RecentBytes: 64 << 20},
		Clock: host.Boottime, Now: time.Now(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := c.Create(b.Context(), "bench", 256<<20, copies...); err != nil {
		b.Fatal(err)
	}
	v, err := c.Attach(b.Context(), 0, "bench")
	if err != nil {
		b.Fatal(err)
	}
	k := &client{volume: v, pool: c.Pool(0), clock: host.Boottime}
	if err := k.fill(b.Context()); err != nil {
		b.Fatal(err)
	}
	return k
}

// BenchmarkVolume measures a volume from within the node that serves it; one
// iteration is one operation. The profile of one path:
//
//	go test ./bench -run '^$' -bench 'Volume/write-4k/2-copies/plain/qd1$' -cpuprofile cpu.prof
func BenchmarkVolume(b *testing.B) {
	for _, w := range []struct {
		name string
		p    pattern
	}{
		{"write-4k", pattern{writes: 100, random: true, length: block.Size}},
		{"flush-4k", pattern{writes: 100, flush: true, length: block.Size}},
		{"write-128k", pattern{writes: 100, length: largeIO}},
		{"read-4k", pattern{random: true, length: block.Size}},
		{"mixed-4k", pattern{writes: 30, random: true, length: block.Size}},
	} {
		for _, l := range layouts() {
			for _, plain := range []bool{true, false} {
				for _, depth := range []int{1, deepest} {
					name := fmt.Sprintf("%s/%s/%s/qd%d", w.name, l.name, map[bool]string{true: "plain", false: "tls"}[plain], depth)
					p := w.p
					p.depth = depth
					b.Run(name, func(b *testing.B) { measureVolume(b, openClient(b, plain, l.copies...), &p) })
				}
			}
		}
	}
}

// measureVolume performs b.N operations of a pattern.
func measureVolume(b *testing.B, c *client, p *pattern) {
	b.SetBytes(int64(p.length))
	b.ReportAllocs()
	lanes := c.lanes(p)
	defer release(lanes)
	b.ResetTimer()
	sample, err := load.Run(context.WithoutCancel(b.Context()), &load.Job{
		Clock: c.clock, Depth: p.depth, Count: int64(b.N), Bytes: p.length,
		One: func(i int) error { return c.one(&lanes[i], p) },
	})
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	f := sample.Figures()
	b.ReportMetric(f[load.P50], "p50-µs")
	b.ReportMetric(f[load.P99], "p99-µs")
	b.ReportMetric(f[load.P999], "p99.9-µs")
	b.ReportMetric(f[load.CPU], "cpu-µs/op")
}

// TestStampTellsBlocksAndVersionsApart guards verify, whose comparison is worth
// nothing if two versions look alike.
func TestStampTellsBlocksAndVersionsApart(t *testing.T) {
	seen := map[string]string{}
	for at := range int64(20) {
		for version := range uint64(20) {
			data := make([]byte, block.Size)
			stamp(data, at, version)
			name := fmt.Sprintf("block %d version %d", at, version)
			if other, twice := seen[string(data)]; twice {
				t.Fatalf("%s looks like %s", name, other)
			}
			seen[string(data)] = name
		}
	}
}
