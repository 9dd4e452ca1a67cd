package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/bench/local"
	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

const (
	fullJournal   = 0.9 // of what the ring takes
	mappedBytes   = 1 << 40
	mappedSpan    = 2 * time.Second // of random writes, and of random reads
	leafBytes     = format.LeafChunks * block.PerChunk * block.Size
	recoveryFills = 10 * time.Millisecond // between two looks at the journal
)

// measureStoreRecovery kills a store whose journal is full and opens it again.
func (s *suite) measureStoreRecovery(ctx context.Context, t *stored) (err error) {
	const bench = "store-recovery/full-journal"
	if s.unwanted(contestOf(bench)) {
		return nil
	}
	p := s.storeParams(t.dir, "recovery", 3*s.scale.journal)
	if err := local.Format(p); err != nil {
		return err
	}
	disk, _, err := local.Open(p)
	if err != nil {
		return err
	}
	v, err := disk.Create(1, p.Journal)
	disk.Withhold(func(op step.DiskOp) bool { // nothing goes home, so nothing leaves the journal
		return op.Kind != step.DiskSync && op.Offset >= format.JournalOffset+p.Journal
	})
	write := s.storeRun(v, reference.Pattern{Write: true, Random: true, Length: block.Size, Depth: deepest})
	for err == nil && disk.Pressure() < fullJournal {
		_, err = write(ctx, 0, recoveryFills)
	}
	full := disk.Pressure()
	if err := errors.Join(err, disk.Kill()); err != nil {
		return err
	}
	var runs []load.Figures
	for range 3 {
		disk, took, err := local.Open(p)
		if err != nil {
			return err
		}
		if err := disk.Kill(); err != nil {
			return err
		}
		runs = append(runs, load.Figures{load.Time: took.Seconds()})
	}
	f := load.Medians(runs)
	s.results.add(bench, "", f)
	s.printf("\n%s: %.2f s for a journal of %d MiB, %.0f %% full of 4k writes, as after kill -9 (3 times; load %s)\n", bench, f[load.Time], p.Journal>>20, 100*full, loadAverage())
	return nil
}

// measureStoreMemory maps a volume of 1 TiB on a sparse file: a block in each leaf,
// which takes as much memory as a leaf that is full.
func (s *suite) measureStoreMemory(ctx context.Context, t *stored) (err error) {
	const bench = "store-memory/1-TiB"
	if s.unwanted(contestOf(bench)) {
		return nil
	}
	p := s.storeParams(t.dir, "memory", mappedBytes+mappedBytes/4)
	p.Sparse, p.Journal = true, 1<<30
	debug.FreeOSMemory()
	before, err := residentBytes()
	if err != nil {
		return err
	}
	if err := local.Format(p); err != nil {
		return err
	}
	disk, _, err := local.Open(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	v, err := disk.Create(1, mappedBytes)
	if err != nil {
		return err
	}
	begin, most := s.Clock(), int64(0)
	look := func() error {
		now, err := residentBytes()
		most = max(most, now-before)
		return err
	}
	pattern := reference.Pattern{Write: true, Length: leafBytes, Depth: deepest}
	if err := s.everyLeaf(ctx, v, look); err != nil {
		return err
	}
	mapped := s.Clock().Sub(begin)
	for _, write := range []bool{true, false} {
		pattern.Write, pattern.Random = write, true
		if _, err := s.storeRunOf(v, pattern, block.Size)(ctx, 0, mappedSpan); err != nil {
			return err
		}
		if err := look(); err != nil {
			return err
		}
	}
	s.results.add(bench, "", load.Figures{load.RSS: float64(most) / (1 << 20)})
	s.printf("\n%s: at most %d MiB of memory beside what the process had before (mapped in %.1f s; default limits; garbage included; load %s)\n", bench, most>>20, mapped.Seconds(), loadAverage())
	return nil
}

// everyLeaf writes one block in each leaf of a volume.
func (s *suite) everyLeaf(ctx context.Context, v *local.Volume, look func() error) error {
	buffer := reference.Noise(s.pool, block.Size, 1)
	defer buffer.Release()
	sums := checksums(buffer)
	const slice = 16_384 // leaves between two looks
	for first := int64(0); first < v.Size(); first += slice * leafBytes {
		if err := s.sweep(ctx, v, first, min(v.Size(), first+slice*leafBytes), leafBytes, local.Operation{Kind: local.Write, Length: block.Size, Data: buffer, Sums: sums}); err != nil {
			return err
		}
		if err := look(); err != nil {
			return err
		}
	}
	return v.Do(local.Operation{Kind: local.Flush})
}

// residentBytes returns the memory of this process.
func residentBytes() (int64, error) {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident int64
	if _, err := fmt.Fscan(bytes.NewReader(data), &size, &resident); err != nil {
		return 0, fmt.Errorf("read /proc/self/statm: %w", err)
	}
	return resident * int64(os.Getpagesize()), nil
}
