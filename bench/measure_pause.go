package bench

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/core/block"
)

const (
	// pauses is how often each pause is measured: the worst counts.
	pauses = 3
	// breakAfter is how long writes go on before a node fails, and watchFor how long
	// they are watched all in all.
	breakAfter, watchFor = 500 * time.Millisecond, 5 * time.Second
	// breathe is the time between two writes: few enough for the window.
	breathe = time.Millisecond
)

// measureKilled measures how long a write takes at most when the process with the other
// copy is killed.
func (r *resyncs) measureKilled(ctx context.Context) ([]load.Figures, error) {
	return r.measurePauses(ctx, "resync-killed", r.peer.Kill, func(ctx context.Context) error { return r.revive(ctx, r.peer) })
}

// measureVanished measures the same when that process is stopped in its tracks: its
// connections stay, and nothing is answered.
func (r *resyncs) measureVanished(ctx context.Context) ([]load.Figures, error) {
	return r.measurePauses(ctx, "resync-vanished", r.peer.Freeze, func(ctx context.Context) error {
		if err := r.peer.Thaw(ctx); err != nil {
			return err
		}
		return r.untilCopies(ctx, 2)
	})
}

func (r *resyncs) measurePauses(ctx context.Context, name string, fail, heal func(context.Context) error) ([]load.Figures, error) {
	var worst []float64
	for range pauses {
		took, err := r.pauseOf(ctx, fail)
		if err = errors.Join(err, heal(ctx)); err != nil {
			return nil, err
		}
		worst = append(worst, took.Seconds())
		if err := pause(ctx, r.scale.settle/4); err != nil {
			return nil, err
		}
	}
	r.printf("%s: the longest write took %.3f s, one after the other failure\n", name, worst)
	return []load.Figures{{load.Time: slices.Max(worst)}}, nil
}

// pauseOf returns the longest time that a write takes around a failure.
func (r *resyncs) pauseOf(ctx context.Context, fail func(context.Context) error) (worst time.Duration, err error) {
	data := r.noise(block.Size)
	defer data.Release()
	failed := make(chan error, 1)
	go func() { failed <- errors.Join(pause(ctx, breakAfter), fail(ctx)) }()
	defer func() { err = errors.Join(err, <-failed) }()
	for end := r.Clock().Add(watchFor); r.Clock() < end; {
		begin := r.Clock()
		if err := r.write(data.Bytes(), r.random.Below(r.scale.volume/block.Size)); err != nil {
			return 0, err
		}
		worst = max(worst, r.Clock().Sub(begin))
		if err := pause(ctx, breathe); err != nil {
			return 0, err
		}
	}
	return worst, nil
}

// revive starts a node again and returns when its copy is in sync.
func (r *resyncs) revive(ctx context.Context, n *cluster.Node) error {
	if err := n.Start(ctx); err != nil {
		return err
	}
	if err := n.AwaitReady(ctx); err != nil {
		return err
	}
	return r.untilCopies(ctx, 2)
}

// measureMove measures how long it takes from the end of the use of a volume on one node
// to what was read from its device on another: there and back again.
func (r *resyncs) measureMove(ctx context.Context) ([]load.Figures, error) {
	var took []float64
	data := r.noise(block.Size)
	defer data.Release()
	for range 2 * pauses {
		if err := errors.Join(r.device.Sync(), r.device.Close()); err != nil {
			return nil, err
		}
		r.device = nil
		begin := r.Clock()
		if err := r.user.Client().Detach(ctx, resyncVolume, false); err != nil {
			return nil, err
		}
		r.user, r.peer = r.peer, r.user
		var err error
		if r.device, err = r.attach(ctx, r.user, resyncVolume); err != nil {
			return nil, err
		}
		if _, err := r.device.ReadAt(data.Bytes(), 0); err != nil {
			return nil, err
		}
		took = append(took, r.Clock().Sub(begin).Seconds())
		if err := r.untilCopies(ctx, 2); err != nil {
			return nil, err
		}
	}
	r.printf("resync-move: detached, attached elsewhere and read from there after %.3f s\n", took)
	return []load.Figures{{load.Time: slices.Max(took)}}, nil
}
