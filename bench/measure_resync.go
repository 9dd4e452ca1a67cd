package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/rest/api"
)

const (
	// resyncVolume is the volume of all benches about copies that come, go and fail.
	resyncVolume = "db"
	// openWithin bounds the wait for a node to serve the volume, and filledWithin that
	// for a copy to be in sync.
	openWithin, filledWithin = time.Minute, 5 * time.Minute
)

// resyncs is a cluster of whole daemons whose volume of two copies is used as a block
// device by the node that has one of them, while copies come, go and fail.
type resyncs struct {
	*suite
	cluster           *cluster.Cluster
	user, peer, spare *cluster.Node // with a copy and the device, with a copy, without
	device            *os.File
	other             *os.File // of a volume that is used beside it
	random            load.Random
}

// benches are in the order in which they are taken: the last ones change who uses the
// volume.
func (r *resyncs) benches() []resyncBench {
	return []resyncBench{
		{"resync-idle", []string{"raw", "fill"}, r.measureIdleFill},
		{"resync-foreground", []string{"idle", "during", "other-idle", "other-during"}, r.measureForeground},
		{"resync-killed", []string{"pause"}, r.measureKilled},
		{"resync-vanished", []string{"pause"}, r.measureVanished},
		{"resync-delta", []string{"changed", "moved"}, r.measureDelta},
		{"resync-move", []string{"first-read"}, r.measureMove},
	}
}

// resyncBench is one of them: of a pair of contenders the first is the reference.
type resyncBench struct {
	contest    string
	contenders []string
	measure    func(context.Context) ([]load.Figures, error)
}

// measureResyncs takes all measurements of copies that are wanted.
func (s *suite) measureResyncs(ctx context.Context) (err error) {
	r := &resyncs{suite: s, random: load.Random(s.Clock())}
	all := slices.DeleteFunc(r.benches(), func(b resyncBench) bool { return s.unwanted(b.contest) })
	if len(all) == 0 {
		return nil
	}
	s.printf("\nresync: three whole daemons with mutual TLS on this machine, a volume of %d MiB, written whole, as a block device\n", s.scale.volume>>20)
	missing := r.open(ctx)
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	for _, b := range all {
		var figures []load.Figures
		failed := missing
		if missing == nil {
			figures, failed = b.measure(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for i, name := range b.contenders {
			if failed != nil {
				s.skip(b.contest+"/"+name, failed)
				continue
			}
			against := ""
			if i%2 == 1 {
				against = b.contest + "/" + b.contenders[i-1]
			}
			s.results.add(b.contest+"/"+name, against, figures[i])
		}
	}
	return nil
}

func (r *resyncs) open(ctx context.Context) error {
	if unix.Geteuid() != 0 || unix.Access("/dev/fuse", unix.W_OK) != nil || unix.Access("/dev/loop-control", unix.W_OK) != nil {
		return errNoDevices
	}
	binary, err := filepath.Abs(r.Program)
	if err != nil {
		return err
	}
	if _, err := os.Stat(binary); err != nil {
		return errNoProgram
	}
	dir, err := os.MkdirTemp(r.Out, "resync-")
	if err != nil {
		return err
	}
	disk := fmt.Sprintf("%dMiB", 4*r.scale.volume>>20)
	if r.cluster, err = cluster.New(ctx, cluster.Params{Binary: binary, Dir: dir, Nodes: managed(), Disk: disk, Pause: pause}); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := r.cluster.Up(ctx); err != nil {
		return err
	}
	options := map[string]string{"size": fmt.Sprintf("%dMiB", r.scale.volume>>20), "fs": "none", "replicas": "2"}
	v, err := r.cluster.Node(managed()[0]).Client().Create(ctx, resyncVolume, options, false)
	if err != nil {
		return err
	}
	r.cast(&v)
	if r.device, err = r.attach(ctx, r.user, resyncVolume); err != nil {
		return err
	}
	return r.fill(r.device, r.scale.volume)
}

// cast decides which node does what.
func (r *resyncs) cast(v *api.Volume) {
	for _, name := range managed() {
		n := r.cluster.Node(name)
		switch {
		case !slices.ContainsFunc(v.Status.Replicas, func(c api.Replica) bool { return c.Node == name }):
			r.spare = n
		case r.user == nil:
			r.user = n
		default:
			r.peer = n
		}
	}
}

// attach has a node serve the volume and opens its device.
func (r *resyncs) attach(ctx context.Context, n *cluster.Node, name string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	v, err := n.Client().Attach(ctx, name, api.Attach{Device: true})
	if err != nil {
		return nil, err
	}
	return os.OpenFile(v.Status.Attachment.Device, os.O_RDWR|unix.O_DIRECT, 0)
}

// fill writes a device from end to end, durably.
func (r *resyncs) fill(device *os.File, size int64) error {
	const length = 1 << 20
	data := r.noise(length)
	defer data.Release()
	for at := int64(0); at < size; at += length {
		if _, err := device.WriteAt(data.Bytes(), at); err != nil {
			return err
		}
	}
	return device.Sync()
}

func (r *resyncs) close(ctx context.Context) error {
	var errs []error
	for _, device := range []*os.File{r.device, r.other} {
		if device != nil {
			errs = append(errs, device.Close())
		}
	}
	if r.cluster != nil {
		errs = append(errs, r.cluster.Close(ctx))
	}
	return errors.Join(errs...)
}

// untilCopies returns when the volume has that many copies, all in sync.
func (r *resyncs) untilCopies(ctx context.Context, count int) error {
	ctx, cancel := context.WithTimeout(ctx, filledWithin)
	defer cancel()
	return r.cluster.Until(ctx, fmt.Sprintf("%d copies are in sync", count), func() (bool, error) {
		all, err := r.user.Client().Replicas(ctx, resyncVolume)
		return len(all) == count && !slices.ContainsFunc(all, func(c api.Replica) bool { return c.State != "in-sync" || c.Leaving }), err
	})
}

// write writes one block.
func (r *resyncs) write(data []byte, at int64) error {
	_, err := r.device.WriteAt(data, at*block.Size)
	return err
}

func (r *resyncs) noise(length int) block.Buffer {
	return reference.Noise(r.pool, length, r.random.Next())
}
