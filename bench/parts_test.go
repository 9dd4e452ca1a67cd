package bench

import (
	"log/slog"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/parts"
	"github.com/lagan-storage/lagan/core/host"
)

// BenchmarkPart measures what one write passes through, part by part:
//
//	go test ./bench -run '^$' -bench Part -benchmem
func BenchmarkPart(b *testing.B) {
	for _, part := range parts.All() {
		b.Run(part.Name, func(b *testing.B) {
			o, err := part.Open(b.Context(), parts.Params{
				Dir: b.TempDir(), Pool: host.NewPool(), Clock: host.Boottime, Log: slog.New(slog.DiscardHandler), Now: time.Now(),
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := o.One(); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(part.Ops), "ops")
			if err := o.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}
