package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/rest/api"
)

const (
	// changedBlocks is how many blocks change while a copy is away, in every
	// changedEvery-th chunk: a fill from nothing would move that many times more.
	changedBlocks, changedEvery = 10000, 8
	// awayFor is longer than the window is kept for a copy that is away.
	awayFor = 35 * time.Second
	// writeFor is for how many spans of the suite writes go on beside a fill, which takes
	// longer.
	writeFor = 3
	// otherVolume is a volume beside the one of the benches.
	otherVolume = "other"
	// resyncBytes is what the engine counts.
	resyncBytes = "lagan_volume_resync_bytes_total"
)

var errFilled = errors.New("the copy was in sync before the measurement was over")

// measureIdleFill measures the fill of a new copy of a volume that nobody uses
// meanwhile, after what the bare disk writes in order.
func (r *resyncs) measureIdleFill(ctx context.Context) ([]load.Figures, error) {
	before, err := r.measureRaw(ctx)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, r.scale.settle/4); err != nil {
		return nil, err
	}
	moved, err := r.moved(ctx)
	if err != nil {
		return nil, err
	}
	begin := r.Clock()
	if _, err := r.user.Client().AddReplica(ctx, resyncVolume, r.spare.Name, ""); err != nil {
		return nil, err
	}
	if err := r.untilCopies(ctx, 3); err != nil {
		return nil, err
	}
	took := r.Clock().Sub(begin)
	now, err := r.moved(ctx)
	if err != nil {
		return nil, err
	}
	r.printf("resync-idle: a new copy in sync after %.1f s, %.0f MiB sent\n", took.Seconds(), (now-moved)/(1<<20))
	after, err := r.measureRaw(ctx)
	raw := load.Figures{load.MBps: (before[load.MBps] + after[load.MBps]) / 2}
	r.printf("resync-idle: the bare disk wrote %.0f MB/s before and %.0f after\n", before[load.MBps], after[load.MBps])
	return []load.Figures{raw, {load.MBps: (now - moved) / 1e6 / took.Seconds()}}, err
}

// measureRaw measures what the bare disk writes in order.
func (r *resyncs) measureRaw(ctx context.Context) (f load.Figures, err error) {
	path := filepath.Join(r.Out, fmt.Sprintf("reference-%d.disk", os.Getpid()))
	d, err := reference.OpenDisk(path, r.scale.volume, r.pool, r.Clock)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Run(ctx, r.pool, reference.Pattern{Write: true, Length: largeIO, Depth: largeDep, WarmUp: r.scale.warmUp, Span: 3 * r.scale.span})
}

// measureForeground measures writes through the device while nothing else happens, and
// while a new copy is filled: writes to the volume that it is of, and to another one on
// the same disks while nobody uses that volume.
func (r *resyncs) measureForeground(ctx context.Context) ([]load.Figures, error) {
	own, err := r.measureBeside(ctx, "the same volume", r.device, r.scale.volume)
	if err != nil {
		return nil, err
	}
	size := r.scale.volume / changedEvery
	options := map[string]string{"size": fmt.Sprintf("%dMiB", size>>20), "fs": "none", "replicas": "2", "nodes": r.user.Name + "+" + r.peer.Name}
	if _, err := r.user.Client().Create(ctx, otherVolume, options, false); err != nil {
		return nil, err
	}
	if r.other, err = r.attach(ctx, r.user, otherVolume); err != nil {
		return nil, err
	}
	if err := r.fill(r.other, size); err != nil {
		return nil, err
	}
	other, err := r.measureBeside(ctx, "another volume", r.other, size)
	return append(own, other...), err
}

// measureBeside measures writes to a device beside a fill, and without one before and
// after it.
func (r *resyncs) measureBeside(ctx context.Context, whose string, device *os.File, size int64) ([]load.Figures, error) {
	if err := r.dropSpare(ctx); err != nil {
		return nil, err
	}
	idle, err := r.writeSome(ctx, device, size)
	if err != nil {
		return nil, err
	}
	if _, err := r.user.Client().AddReplica(ctx, resyncVolume, r.spare.Name, ""); err != nil {
		return nil, err
	}
	if err := r.cluster.Until(ctx, "a copy is being filled", func() (bool, error) {
		fill, err := r.filling(ctx)
		return fill != nil, err
	}); err != nil {
		return nil, err
	}
	during, err := r.writeSome(ctx, device, size)
	if err != nil {
		return nil, err
	}
	fill, err := r.filling(ctx)
	switch {
	case err != nil:
		return nil, err
	case fill == nil:
		return nil, errFilled
	}
	if err := r.untilCopies(ctx, 3); err != nil {
		return nil, err
	}
	if err := r.dropSpare(ctx); err != nil {
		return nil, err
	}
	after, err := r.writeSome(ctx, device, size)
	if err != nil {
		return nil, err
	}
	idle = load.Medians([]load.Figures{idle, after})
	r.printf("resync-foreground: a 4k write to %s took %.0f µs (p50) and %.0f (p99), during the fill %.0f and %.0f; it went at %d MB/s\n",
		whose, idle[load.P50], idle[load.P99], during[load.P50], during[load.P99], fill.Rate/1e6)
	return []load.Figures{idle, during}, nil
}

// filling returns how far the copy is that is being filled, nil before the first of it
// is there and when it is in sync.
func (r *resyncs) filling(ctx context.Context) (*api.Fill, error) {
	all, err := r.user.Client().Replicas(ctx, resyncVolume)
	for i := range all {
		if f := all[i].Fill; f != nil && f.Done > 0 {
			return f, err
		}
	}
	return nil, err
}

// dropSpare has the volume on two nodes again.
func (r *resyncs) dropSpare(ctx context.Context) error {
	all, err := r.user.Client().Replicas(ctx, resyncVolume)
	if err != nil {
		return err
	}
	if len(all) > 2 {
		if _, err := r.user.Client().RemoveReplica(ctx, resyncVolume, r.spare.Name); err != nil {
			return err
		}
	}
	if err := r.untilCopies(ctx, 2); err != nil {
		return err
	}
	return pause(ctx, r.scale.settle/4) // its space is freed
}

// writeSome measures writes of blocks in no order, one after the other.
func (r *resyncs) writeSome(ctx context.Context, device *os.File, size int64) (load.Figures, error) {
	data := r.noise(block.Size)
	defer data.Release()
	s, err := load.Run(ctx, &load.Job{
		Clock: r.Clock, Depth: 1, WarmUp: r.scale.warmUp, Span: writeFor * r.scale.span, Bytes: block.Size,
		One: func(int) error {
			_, err := device.WriteAt(data.Bytes(), r.random.Below(size/block.Size)*block.Size)
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	f := s.Figures()
	return load.Figures{load.P50: f[load.P50], load.P99: f[load.P99], load.IOPS: f[load.IOPS]}, nil
}

// measureDelta measures what is moved to a copy that was away while blocks changed,
// next to the size of the chunks that they are in.
func (r *resyncs) measureDelta(ctx context.Context) ([]load.Figures, error) {
	if err := r.untilCopies(ctx, 2); err != nil {
		return nil, err
	}
	if err := r.peer.Kill(ctx); err != nil {
		return nil, err
	}
	if err := pause(ctx, awayFor); err != nil {
		return nil, err
	}
	data := r.noise(block.Size)
	defer data.Release()
	chunks := map[int64]bool{}
	for range changedBlocks {
		chunk := r.random.Below(r.scale.volume/block.Size/block.PerChunk/changedEvery) * changedEvery
		chunks[chunk] = true
		if err := r.write(data.Bytes(), chunk*block.PerChunk+r.random.Below(block.PerChunk)); err != nil {
			return nil, err
		}
	}
	before, err := r.moved(ctx)
	if err != nil {
		return nil, err
	}
	begin := r.Clock()
	if err := r.revive(ctx, r.peer); err != nil {
		return nil, err
	}
	after, err := r.moved(ctx)
	changed, moved := float64(len(chunks)*block.PerChunk*block.Size)/(1<<20), (after-before)/(1<<20)
	r.printf("resync-delta: %d blocks changed in %.0f MiB of chunks, of %d MiB; %.0f MiB were sent, in sync %.1f s after the start of the process\n",
		changedBlocks, changed, r.scale.volume>>20, moved, r.Clock().Sub(begin).Seconds())
	if err == nil && moved == 0 {
		err = errors.New("nothing was sent: the copy was given what it missed by the window")
	}
	return []load.Figures{{load.Moved: changed}, {load.Moved: moved}}, err
}

// moved returns how many bytes were sent to copies that were being filled, as the node
// that serves the volume counts them.
func (r *resyncs) moved(ctx context.Context) (float64, error) {
	return r.user.Sample(ctx, fmt.Sprintf("%s{volume=%q}", resyncBytes, resyncVolume))
}
