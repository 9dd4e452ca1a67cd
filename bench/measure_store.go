package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/bench/local"
	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store"
)

// storeContests is how the names of those of the store alone begin.
const storeContests = "store-"

// stored is the store under measurement and the bare file beside it.
type stored struct {
	dir  string
	raw  *reference.Disk
	disk *local.Disk
	main *local.Volume // as large as the bare file
}

// measureStore measures one store on a file of its own: what a replica pays on
// its disk, without coordinator and network.
func (s *suite) measureStore(ctx context.Context) (err error) {
	if s.Only != "" && !strings.HasPrefix(s.Only, storeContests) {
		return nil
	}
	t := &stored{}
	if t.dir, err = os.MkdirTemp(s.Out, "store-"); err != nil {
		return fmt.Errorf("measure the store: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.dir)) }()
	if s.fio, err = reference.FindFio(); err != nil {
		s.results.skipped = append(s.results.skipped, skip{"*/fio", err.Error()})
	}
	for _, part := range []func(context.Context, *stored) error{s.measureStoreIO, s.measureStoreLayers, s.measureStoreRecovery, s.measureStoreMemory} {
		if err := part(ctx, t); err != nil {
			return fmt.Errorf("measure the store: %w", err)
		}
	}
	return nil
}

// storeLimits are those of a daemon.
func storeLimits() store.Limits { return store.Limits{RecentBytes: 64 << 20} }

func (s *suite) storeParams(dir, name string, size int64) *local.Params {
	return &local.Params{
		Path: filepath.Join(dir, name+".disk"), Size: size, Journal: s.scale.journal,
		Limits: storeLimits(), Pool: s.pool, Clock: s.Clock,
	}
}

// measureStoreIO measures reads and writes.
func (s *suite) measureStoreIO(ctx context.Context, t *stored) (err error) {
	wanted := false
	for _, c := range s.storeIOContests(t) {
		wanted = wanted || !s.unwanted(c.name)
	}
	if !wanted {
		return nil
	}
	size := s.scale.stored
	if t.raw, err = reference.OpenDisk(filepath.Join(t.dir, "raw.disk"), size, s.pool, s.Clock); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.raw.Close()) }()
	p := s.storeParams(t.dir, "store", 2*size+2*s.scale.journal)
	begin := s.Clock()
	if err := local.Format(p); err != nil {
		return err
	}
	formatted := s.Clock().Sub(begin)
	if t.disk, _, err = local.Open(p); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.disk.Close()) }()
	if t.main, err = s.newVolume(ctx, t.disk, 1, size); err != nil {
		return err
	}
	s.printf("\nstore: a disk of %d MiB formatted in %.1f s, a volume of %d MiB filled\n", p.Size>>20, formatted.Seconds(), size>>20)
	for _, c := range s.storeIOContests(t) {
		if err := s.hold(ctx, &c); err != nil {
			return err
		}
	}
	return nil
}

// newVolume makes a volume and writes it from end to end.
func (s *suite) newVolume(ctx context.Context, d *local.Disk, n byte, size int64) (*local.Volume, error) {
	v, err := d.Create(n, size)
	if err != nil {
		return nil, err
	}
	return v, s.fillVolume(ctx, v)
}

// fillVolume writes a volume from end to end and makes it durable.
func (s *suite) fillVolume(ctx context.Context, v *local.Volume) error {
	buffer := reference.Noise(s.pool, largeIO, 1)
	defer buffer.Release()
	o := local.Operation{Kind: local.Write, Length: largeIO, Data: buffer, Sums: checksums(buffer)}
	return errors.Join(s.sweep(ctx, v, 0, v.Size(), largeIO, o), v.Do(local.Operation{Kind: local.Flush}))
}

// sweep performs o at every stride from first to end.
func (s *suite) sweep(ctx context.Context, v *local.Volume, first, end, stride int64, o local.Operation) error {
	ended := make(chan error, deepest)
	next := first // the disk's lock guards it
	for range deepest {
		var l *local.Lane
		l = v.Lane(func(err error) bool {
			l.Operation = o
			if l.Offset, next = next, next+stride; err == nil && l.Offset < end && ctx.Err() == nil {
				return true
			}
			ended <- err
			return false
		})
		l.Kind = local.Flush // the lane begins with its end
		l.Begin()
	}
	errs := []error{ctx.Err()}
	for range deepest {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

func checksums(b block.Buffer) (sums []block.Checksum) {
	for at := 0; at < b.Len(); at += block.Size {
		sums = append(sums, block.ChecksumOf(b.Bytes()[at:at+block.Size]))
	}
	return sums
}

// storeLane is one operation under way.
type storeLane struct {
	*local.Lane
	pattern *reference.Pattern
	cursor  reference.Cursor
}

// next makes the lane's operation the next one of its pattern.
func (l *storeLane) next() {
	l.Offset, l.Kind = l.cursor.Next(), local.Read
	if l.pattern.Write {
		l.Kind = local.Write
	}
}

// storeRun returns a contender that is the store.
func (s *suite) storeRun(v *local.Volume, p reference.Pattern) runner {
	return s.storeRunOf(v, p, p.Length)
}

// storeRunOf is storeRun with operations of length bytes at the places of p.
func (s *suite) storeRunOf(v *local.Volume, p reference.Pattern, length int) runner {
	return func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
		a := load.NewAsync(s.Clock, p.Depth)
		lanes := make([]storeLane, p.Depth)
		for i := range lanes {
			l := &lanes[i]
			*l = storeLane{pattern: &p, cursor: p.Cursor(i, v.Size(), uint64(s.Clock())+uint64(i))}
			l.Lane = v.Lane(func(err error) bool {
				if err == nil && p.Sync && l.Kind == local.Write {
					l.Kind = local.Flush
					return true
				}
				again := a.Ended(i, err)
				l.next()
				return again
			})
			l.Length, l.Data = length, reference.Noise(s.pool, length, uint64(i))
			defer l.Data.Release()
			l.Sums = checksums(l.Data)
			l.next()
		}
		sample, err := a.Run(ctx, warmUp, span, length, func(i int) { lanes[i].Begin() })
		if err != nil {
			return nil, err
		}
		return sample.Figures(), nil
	}
}

func (s *suite) storeIOContests(t *stored) []contest {
	const accepted = "acknowledged means accepted: the journal write has completed"
	raw := func(p reference.Pattern) runner {
		return func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
			p.WarmUp, p.Span = warmUp, span
			return t.raw.Run(ctx, s.pool, p)
		}
	}
	fio := func(p reference.Pattern) runner {
		return func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
			if s.fio == "" {
				return nil, reference.ErrNoFio
			}
			p.WarmUp, p.Span = warmUp, span
			return reference.Fio(ctx, s.fio, t.raw.Path, s.scale.stored, p)
		}
	}
	three := func(p reference.Pattern) []contender {
		return []contender{{"raw", raw(p)}, {"fio", fio(p)}, {"store", s.storeRun(t.main, p)}}
	}
	two := func(p reference.Pattern) []contender {
		return []contender{{"raw", raw(p)}, {"store", s.storeRun(t.main, p)}}
	}
	small := reference.Pattern{Random: true, Length: block.Size, Depth: deepest}
	large := reference.Pattern{Length: largeIO, Depth: largeDep}
	write := func(p reference.Pattern) reference.Pattern { p.Write = true; return p }
	flush := reference.Pattern{Write: true, Sync: true, Length: block.Size, Depth: 1}
	pages := reference.Pattern{Write: true, Random: true, Hot: true, Length: 16 << 10, Depth: deepest}
	return []contest{
		{name: "store-read-4k-qd32", against: "raw", conditions: "verified", contenders: three(small)},
		{name: "store-read-128k-qd8", against: "raw", conditions: "sequential; verified", contenders: three(large)},
		{name: "store-write-128k-qd8", against: "raw", conditions: "sequential; " + accepted, contenders: three(write(large))},
		{name: "store-flush-4k-qd1", against: "raw", conditions: "each write is followed by a flush; raw appends and calls fdatasync", contenders: three(flush)},
		{name: "store-write-4k-qd32", against: "raw", conditions: "a burst; " + accepted, contenders: three(write(small))},
		{name: "store-sustained-4k-qd32", against: "raw", rounds: 1, span: s.scale.sustained / 3, conditions: "no locality, three fills of the journal; " + accepted, contenders: two(write(small))},
		{name: "store-sustained-16k-qd32", against: "raw", rounds: 1, span: s.scale.sustained / 3, conditions: "80 % of the writes go to 20 % of the pages, spread over the volume; " + accepted, contenders: two(pages)},
	}
}
