// Package bench measures: how long a replicated write takes and where the time
// goes, what a node does a second, and what that costs, next to the same
// workload on the bare disk and network in the same run. cmd/bench runs it
// (make bench); its Go benchmarks run single benches.
//
//	references ─┐            ┌─▶ tables, arithmetic: to people
//	parts ──────┼─▶ results ─┤
//	engine ─────┘            └─▶ rows, judged by bars.json: to bench/out
//
// It promises that benches which are compared run in turn, several short runs
// each, and that figures are medians of those; that a bar is set in bars.json
// and nowhere else; and that what was not run does not hold.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/step"
)

// Params is what a run of the suite is given.
type Params struct {
	Out     string // folder of the rows; the disks are made below it and removed again
	Short   bool   // shorter runs on smaller volumes: to see that it works
	Program string // lagan, for what only daemons show
	Only    string // a pattern of contests, "" all
	Clock   func() step.Time
	Now     time.Time
	Log     *slog.Logger
	Report  io.Writer // what people read
}

// scale is how long and how large everything is.
type scale struct {
	rounds    int
	warmUp    time.Duration
	span      time.Duration
	sustained time.Duration
	settle    time.Duration // the longest wait before a round
	disk      int64         // bytes of one node's that holds all volumes
	journal   int64         // bytes of it
	volume    int64         // bytes
	cache     int           // bytes of one store's leaves
	recent    int           // bytes of the journal that one store keeps in memory
	verified  int           // blocks written and read back before the first figure
	stored    int64         // bytes of the store's volume
	seeds     int           // of a round of the simulation
	swarm     int           // seeds whose composition is looked at
}

func (p *Params) scale() scale {
	if p.Short {
		return scale{
			rounds: 5, warmUp: 30 * time.Millisecond, span: 100 * time.Millisecond, sustained: 2 * time.Second, // settle 0: no time for it
			disk: 3 << 29, journal: 96 << 20, volume: 256 << 20, cache: 16 << 20, recent: 32 << 20, verified: 500, stored: 512 << 20, seeds: 8, swarm: 100,
		}
	}
	return scale{
		rounds: 5, warmUp: 200 * time.Millisecond, span: time.Second, sustained: time.Minute,
		settle: 20 * time.Second, disk: 13 << 29, journal: 1 << 30, volume: 1 << 30, cache: 64 << 20, recent: 128 << 20, verified: 5000, stored: 4 << 30, seeds: 60, swarm: 400,
	}
}

// suite is one run.
type suite struct {
	Params
	scale   scale
	pool    *host.Pool // of the references
	disk    *reference.Disk
	network *reference.Loopback
	fio     string // the program, "" if there is none
	results *results
	began   step.Time // when Now was
	idle    float64   // allocations a second of an engine that nobody uses
}

// Run runs the suite and reports whether every bar held.
func Run(ctx context.Context, p Params) (held bool, err error) {
	bars, err := Bars()
	if err != nil {
		return false, err
	}
	if p.Out, err = filepath.Abs(p.Out); err != nil {
		return false, fmt.Errorf("folder of the rows: %w", err)
	}
	if err := os.MkdirAll(p.Out, 0o755); err != nil {
		return false, fmt.Errorf("folder of the rows: %w", err)
	}
	s := &suite{Params: p, scale: p.scale(), pool: host.NewPool(), results: newResults(), began: p.Clock()}
	if err := s.measure(ctx); err != nil {
		return false, err
	}
	bars = slices.DeleteFunc(bars, func(b Bar) bool { return s.unwanted(contestOf(b.Bench)) })
	rows := s.results.rows(bars)
	s.printVerdict(rows)
	return allHold(rows), s.save(rows)
}

// measure runs every contest.
func (s *suite) measure(ctx context.Context) error {
	s.printMachine()
	for _, part := range []func(context.Context) error{
		s.measureWithReferences, s.measureExports, s.measureStore, s.measureDaemons, s.measureManagement, s.measureResyncs, s.measurePlan, s.measureSimulation,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	s.readDemo()
	s.printArithmetic()
	return nil
}

// measureWithReferences runs the contests of the engine and its parts with the
// bare machine, unless others were asked for: to fill the disks takes long.
func (s *suite) measureWithReferences(ctx context.Context) (err error) {
	names := []string{"parts", deviceContest}
	for _, c := range s.engineContests(nil) {
		names = append(names, c.name)
	}
	if !slices.ContainsFunc(names, func(name string) bool { return !s.unwanted(name) }) {
		return nil
	}
	if s.network, err = reference.OpenLoopback(ctx, s.Clock); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.network.Close()) }()
	path := filepath.Join(s.Out, fmt.Sprintf("reference-%d.disk", os.Getpid()))
	if s.disk, err = reference.OpenDisk(path, s.scale.volume, s.pool, s.Clock); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.disk.Close()) }()
	if s.fio, err = reference.FindFio(); err != nil {
		s.results.skipped = append(s.results.skipped, skip{"*/fio", err.Error()})
	}
	if err := s.measureParts(ctx); err != nil {
		return err
	}
	return s.measureEngine(ctx)
}

// save writes the rows, one file a run.
func (s *suite) save(rows []Row) error {
	path := filepath.Join(s.Out, s.Now.UTC().Format("bench-20060102-150405.jsonl"))
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	err = errors.Join(writeRows(f, rows), f.Close())
	if err == nil {
		s.printf("\nrows: %s\n", path)
	}
	return err
}

func allHold(rows []Row) bool {
	for i := range rows {
		if rows[i].Holds != nil && !*rows[i].Holds {
			return false
		}
	}
	return true
}

// skip notes that the benches which fit the pattern were not run.
func (s *suite) skip(bench string, err error) {
	s.results.skipped = append(s.results.skipped, skip{bench, err.Error()})
	s.printf("\n%s: not run: %v\n", bench, err)
}

// rawRun returns a contender that is the bare disk.
func (s *suite) rawRun(p reference.Pattern) runner {
	return func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
		p.WarmUp, p.Span = warmUp, span
		return s.disk.Run(ctx, s.pool, p)
	}
}

// twinRun returns a contender that is the bare disk with two files at once.
func (s *suite) twinRun(p reference.Pattern) runner {
	return func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
		p.WarmUp, p.Span = warmUp, span
		return reference.Twin(ctx, s.disk.Path, s.pool, s.Clock, p)
	}
}

// fioRun returns a contender that is fio on the bare disk.
func (s *suite) fioRun(p reference.Pattern) runner {
	return func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
		if s.fio == "" {
			return nil, reference.ErrNoFio
		}
		p.WarmUp, p.Span = warmUp, span
		return reference.Fio(ctx, s.fio, s.disk.Path, s.scale.volume, p)
	}
}
