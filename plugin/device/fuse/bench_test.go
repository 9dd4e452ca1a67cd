package fuse_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/filesystem"
	"github.com/lagan-storage/lagan/plugin/require"
)

// BenchmarkDevice measures the way through kernel and driver alone: fio on the
// loop device or on a file of an ext4, a volume in memory behind it. One
// iteration is one run of fio:
//
//	go test -run '^$' -bench Device -benchtime 1x ./plugin/device/fuse
func BenchmarkDevice(b *testing.B) {
	for _, c := range []struct {
		name, pattern, size string
		depth               int
		ext4                bool
	}{
		{"4k-write-qd1", "randwrite", "4k", 1, false},
		{"4k-read-qd1", "randread", "4k", 1, false},
		{"4k-write-qd32", "randwrite", "4k", 32, false},
		{"4k-read-qd32", "randread", "4k", 32, false},
		{"128k-write-qd8", "write", "128k", 8, false},
		{"128k-read-qd8", "read", "128k", 8, false},
		{"ext4-4k-write-qd1", "randwrite", "4k", 1, true},
		{"ext4-4k-write-qd32", "randwrite", "4k", 32, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			a, _ := newAttacher(b)
			require.Program(b, "fio", "fio")
			d := attach(b, a, memory.New(512*mib))
			file := d.Path()
			if c.ext4 {
				target := b.TempDir()
				must(b, filesystem.Make(b.Context(), d.Path(), filesystem.Ext4))
				must(b, filesystem.Mount(b.Context(), d.Path(), target, filesystem.Ext4))
				file = filepath.Join(target, "file")
				must(b, os.WriteFile(file, make([]byte, 256*mib), 0o600)) // fio overwrites, ext4 allocates nothing
			}
			for b.Loop() {
				report(b, run(b, "fio", "--name=bench", "--filename="+file, "--direct=1", "--ioengine=libaio",
					"--rw="+c.pattern, "--bs="+c.size, fmt.Sprintf("--iodepth=%d", c.depth), "--size=256m",
					"--time_based", "--runtime=3", "--ramp_time=1", "--output-format=json"))
			}
		})
	}
}

// report turns fio's summary into the benchmark's figures.
func report(b *testing.B, output string) {
	b.Helper()
	type direction struct {
		IOPS    float64 `json:"iops"`
		KiB     float64 `json:"bw"` // per second
		Latency struct {
			Percentile map[string]float64 `json:"percentile"`
		} `json:"clat_ns"`
	}
	var summary struct {
		Jobs []struct{ Read, Write direction } `json:"jobs"`
	}
	must(b, json.Unmarshal([]byte(output), &summary))
	d := summary.Jobs[0].Read
	if d.IOPS == 0 {
		d = summary.Jobs[0].Write
	}
	b.ReportMetric(d.IOPS, "IOPS")
	b.ReportMetric(d.KiB*1024/1e6, "MB/s")
	b.ReportMetric(d.Latency.Percentile["50.000000"]/1e3, "p50-µs")
	b.ReportMetric(d.Latency.Percentile["99.000000"]/1e3, "p99-µs")
	b.ReportMetric(0, "ns/op") // a run of fio: says nothing
}
