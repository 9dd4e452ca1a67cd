package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/fuse"
	"github.com/lagan-storage/lagan/plugin/filesystem"
)

// deviceContest is the one with the kernel in it.
const deviceContest = "ext4-4k-qd1"

var errNoDevices = errors.New("needs root, /dev/fuse and /dev/loop-control")

// measureDevice measures fio on a file of an ext4 on a volume: through kernel,
// loop device, FUSE and engine.
func (s *suite) measureDevice(ctx context.Context, e *engine) (err error) {
	c := contest{
		name: deviceContest, against: "raw",
		conditions: "fio on a preallocated file, O_DIRECT; raw is fio on a file of the machine's own file system",
	}
	if s.unwanted(c.name) {
		return s.hold(ctx, &c)
	}
	if s.fio == "" {
		s.skip(c.name+"/*", reference.ErrNoFio)
		return nil
	}
	if unix.Geteuid() != 0 || unix.Access("/dev/fuse", unix.W_OK) != nil || unix.Access("/dev/loop-control", unix.W_OK) != nil {
		s.skip(c.name+"/*", errNoDevices)
		return nil
	}
	dir, err := os.MkdirTemp(s.Out, "device-")
	if err != nil {
		return fmt.Errorf("measure the device: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	attacher, err := fuse.New(fuse.Params{Dir: filepath.Join(dir, "fuse"), Log: s.Log})
	if err != nil {
		return err
	}
	write := reference.Pattern{Write: true, Random: true, Length: block.Size, Depth: 1}
	c.contenders = []contender{{"raw", s.fioRun(write)}}
	for _, name := range []string{"2-copies/plain", "2-copies/tls"} {
		m := mounted{volume: e.clients[name].volume, target: filepath.Join(dir, filepath.Base(name)), size: s.scale.volume / 4}
		if err := m.open(ctx, attacher); err != nil {
			s.skip(c.name+"/*", errors.Join(err, m.close(ctx)))
			return nil
		}
		defer func() { err = errors.Join(err, m.close(context.WithoutCancel(ctx))) }()
		c.contenders = append(c.contenders, contender{name, func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
			p := write
			p.WarmUp, p.Span = warmUp, span
			return reference.Fio(ctx, s.fio, m.file(), m.size, p)
		}})
	}
	return s.hold(ctx, &c)
}

// mounted is a volume with an ext4 and a file on it.
type mounted struct {
	volume *host.Volume
	target string
	size   int64 // of the file
	device device.Device
}

func (m *mounted) file() string { return filepath.Join(m.target, "file") }

func (m *mounted) open(ctx context.Context, attacher *fuse.Attacher) (err error) {
	v := device.Volume{Name: "bench", ID: m.volume.ID(), Size: m.volume.Size()}
	if m.device, err = attacher.Attach(ctx, v, backend{m.volume}); err != nil {
		return err
	}
	if err := filesystem.Erase(ctx, m.device.Path()); err != nil {
		return err
	}
	if err := filesystem.Make(ctx, m.device.Path(), filesystem.Ext4); err != nil {
		return err
	}
	if err := filesystem.Mount(ctx, m.device.Path(), m.target, filesystem.Ext4); err != nil {
		return err
	}
	// Written whole: a write of the measurement allocates nothing in the ext4.
	f, err := os.Create(m.file())
	if err != nil {
		return err
	}
	data := make([]byte, 1<<20)
	for at := int64(0); at < m.size && err == nil; at += int64(len(data)) {
		_, err = f.WriteAt(data, at)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

func (m *mounted) close(ctx context.Context) error {
	if m.device == nil {
		return nil
	}
	err := filesystem.Unmount(ctx, m.target)
	if gone := m.device.Detach(ctx); gone != nil {
		return errors.Join(err, gone, m.device.Abort())
	}
	return err
}

// backend serves a volume to a driver.
type backend struct{ volume *host.Volume }

// request is what a driver's request becomes. It stays with that, and is used
// again when it comes again.
type request struct {
	host.Operation
	from *device.Request
}

// Submit implements device.Backend.
func (b backend) Submit(r *device.Request) {
	q, ok := r.Scratch.(*request)
	if !ok {
		q = &request{from: r}
		q.Done = q.finish
		r.Scratch = q
	}
	switch r.Kind {
	case device.Read:
		q.Kind = step.ReadRequest
	case device.Write:
		q.Kind = step.WriteRequest
	case device.Flush:
		q.Kind = step.FlushRequest
	case device.Zero, device.Map: // the kernel does not ask for maps
		q.Kind = step.ZeroRequest
	}
	q.FUA, q.Offset, q.Length, q.Buffer = r.FUA, r.Offset, r.Length, r.Buffer
	b.volume.Submit(&q.Operation)
}

func (q *request) finish(_ *host.Operation, err error) {
	switch {
	case errors.Is(err, host.ErrNoSpace):
		err = device.ErrNoSpace
	case errors.Is(err, host.ErrGone):
		err = device.ErrGone
	}
	q.Buffer = block.Buffer{}
	q.from.Done(q.from, err)
}
