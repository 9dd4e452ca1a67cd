package bench

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/bench/local"
	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
)

const (
	chainSnapshots = 100
	// snapshotEvery is the time between two snapshots of the chain: what is written
	// meanwhile is what each of its layers has.
	snapshotEvery = 5 * time.Millisecond
)

// layered is a volume without snapshots and those with.
type layered struct {
	none  *local.Volume
	chain *local.Volume // with chainSnapshots
	few   *local.Volume
	taken block.LayerID // the last snapshot of few
}

// measureStoreLayers measures what snapshots cost.
func (s *suite) measureStoreLayers(ctx context.Context, t *stored) (err error) {
	if s.unwanted("store-snapshot") && s.unwanted("store-chain-read-4k-qd32") && s.unwanted("store-after-snapshot") && s.unwanted("store-delete-snapshot") {
		return nil
	}
	size := s.scale.volume / 2
	p := s.storeParams(t.dir, "layers", 20*size+s.scale.journal) // each snapshot's head becomes as large as the volume
	if err := local.Format(p); err != nil {
		return err
	}
	disk, _, err := local.Open(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	var l layered
	for i, v := range []**local.Volume{&l.none, &l.chain, &l.few} {
		if *v, err = s.newVolume(ctx, disk, byte(i+1), size); err != nil {
			return err
		}
	}
	if s.unwanted("store-snapshot") { // the chain is wanted all the same
		if _, err := s.snapshotsOf(&l)(ctx, 0, 0); err != nil {
			return err
		}
	}
	write := reference.Pattern{Write: true, Random: true, Length: block.Size, Depth: deepest}
	read := reference.Pattern{Random: true, Length: block.Size, Depth: deepest}
	const load = "4k random writes qd32; "
	for _, c := range []contest{
		{name: "store-snapshot", rounds: 1, conditions: "how long a snapshot's record takes to be accepted, with 8 writes of 4k under way: writes behind it wait no longer", contenders: []contender{{"pause", s.snapshotsOf(&l)}}},
		{name: "store-chain-read-4k-qd32", against: "none", conditions: "snapshots below the head; descriptors fit the cache", contenders: []contender{{"none", s.storeRun(l.none, read)}, {"100", s.storeRun(l.chain, read)}}},
		{name: "store-after-snapshot", against: "none", apart: true, conditions: load + "a snapshot is taken before each run", contenders: []contender{{"none", s.storeRun(l.none, write)}, {"snapshot", s.afterSnapshot(&l, s.storeRun(l.few, write))}}},
		{name: "store-delete-snapshot", against: "none", apart: true, rounds: 3, conditions: load + "a snapshot's deletion begins before each run", contenders: []contender{{"none", s.written(l.none, s.storeRun(l.none, write))}, {"merge", s.afterDeletion(&l, s.storeRun(l.few, write))}}},
	} {
		if err := s.hold(ctx, &c); err != nil {
			return err
		}
	}
	return nil
}

// snapshotsOf takes the snapshots of the chain while writes go on.
func (s *suite) snapshotsOf(l *layered) runner {
	return func(ctx context.Context, _, _ time.Duration) (load.Figures, error) {
		ended := make(chan error, 1)
		write := reference.Pattern{Write: true, Random: true, Length: block.Size, Depth: largeDep}
		go func() {
			_, err := s.storeRun(l.chain, write)(ctx, 0, (chainSnapshots+10)*snapshotEvery)
			ended <- err
		}()
		var took []time.Duration
		for id := range block.LayerID(chainSnapshots) {
			pause, cancel := context.WithTimeout(ctx, snapshotEvery)
			<-pause.Done()
			cancel()
			begin := s.Clock()
			if err := l.chain.Do(local.Operation{Kind: local.Snapshot, Layer: id + 1}); err != nil {
				return nil, errors.Join(err, <-ended)
			}
			took = append(took, s.Clock().Sub(begin))
		}
		slices.Sort(took)
		at := func(percent int) float64 { return float64(took[len(took)*percent/100].Nanoseconds()) / 1e3 }
		return load.Figures{load.P50: at(50), load.P99: at(99)}, <-ended
	}
}

func (s *suite) afterSnapshot(l *layered, run runner) runner {
	return func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
		l.taken++
		if err := l.few.Do(local.Operation{Kind: local.Snapshot, Layer: l.taken}); err != nil {
			return nil, err
		}
		return run(ctx, 0, warmUp+span)
	}
}

// written measures behind writes that are still going home, as they do when a
// snapshot has just been deleted.
func (s *suite) written(v *local.Volume, run runner) runner {
	return func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
		if _, err := run(ctx, 0, warmUp+span/4); err != nil {
			return nil, err
		}
		if err := v.Do(local.Operation{Kind: local.Flush}); err != nil {
			return nil, err
		}
		return run(ctx, warmUp, span)
	}
}

// afterDeletion measures beside a merge: of a snapshot and a head that has been
// written to for a while. It returns when that must be over, so that the next run
// is without: a store merges a chunk every millisecond.
func (s *suite) afterDeletion(l *layered, run runner) runner {
	return func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
		l.taken++
		if err := l.few.Do(local.Operation{Kind: local.Snapshot, Layer: l.taken}); err != nil {
			return nil, err
		}
		if _, err := run(ctx, 0, warmUp+span/4); err != nil {
			return nil, err
		}
		if err := l.few.Do(local.Operation{Kind: local.Delete, Layer: l.taken}); err != nil {
			return nil, err
		}
		if err := l.few.Do(local.Operation{Kind: local.Flush}); err != nil {
			return nil, err
		}
		f, err := run(ctx, warmUp, span)
		pause, cancel := context.WithTimeout(ctx, 3*time.Millisecond/2*time.Duration(l.few.Size()/(block.PerChunk*block.Size)))
		defer cancel()
		<-pause.Done()
		return f, err
	}
}
