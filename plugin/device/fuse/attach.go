package fuse

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/mounts"
	"github.com/lagan-storage/lagan/plugin/device/slab"
)

const (
	fileMode = unix.S_IFREG | 0o600
	// readersDefault is right for a backend that does not block: on two cores
	// a second reader cost a tenth to a third of the small I/O at depth 32 and
	// gained a tenth of the large (4k writes 118k to 106k IOPS, 128k writes
	// 4.0 to 4.6 GB/s), four were slower in both.
	readersDefault = 1
	// slabsKeptMax is the memory that is kept for the next burst: one device's
	// 128 requests of the largest transfer.
	slabsKeptMax = 128 * transferBytesMax / slab.Bytes
)

// Params says how an Attacher works.
type Params struct {
	// Dir is this daemon's own directory for the files of its volumes. It is
	// made when missing. No two running daemons may share one.
	Dir string
	// Readers is how many goroutines read requests, and so call the backend,
	// per device; 0 is a good number.
	Readers int
	// Keeper has the devices outlive this process, where the kernel can ask again
	// what was not answered; nil: they end with it.
	Keeper device.Keeper
	Log    *slog.Logger
}

// Attacher attaches volumes through FUSE and loop devices.
type Attacher struct {
	dir     string
	readers int
	stock   *slab.Stock
	keeper  device.Keeper
	log     *slog.Logger
}

var _ device.Attacher = (*Attacher)(nil)

// New makes an Attacher. What a killed process left in the directory stays
// until Cleanup is called.
func New(p Params) (*Attacher, error) {
	dir, err := ownDir(p.Dir)
	if err != nil {
		return nil, err
	}
	a := &Attacher{dir: dir, readers: p.Readers, stock: slab.NewStock(slabsKeptMax), keeper: p.Keeper, log: p.Log}
	if a.readers <= 0 {
		a.readers = readersDefault
	}
	return a, nil
}

// ownDir makes the directory and returns its name as the table of mounts has it.
func ownDir(dir string) (string, error) {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", fmt.Errorf("make the directory for devices: %w", err)
	}
	return dir, nil
}

// Attach makes a block device of the volume.
func (a *Attacher) Attach(ctx context.Context, volume device.Volume, backend device.Backend) (device.Device, error) {
	d, err := a.attach(ctx, volume, backend)
	if err != nil {
		return nil, fmt.Errorf("attach volume %q: %w", volume.Name, err)
	}
	return d, nil
}

func (a *Attacher) attach(ctx context.Context, volume device.Volume, backend device.Backend) (*attached, error) {
	if volume.Size <= 0 || volume.Size%block.Size != 0 {
		return nil, fmt.Errorf("a size of %d bytes is not made of blocks of %d bytes", volume.Size, block.Size)
	}
	log := a.log.With(slog.String("volume", volume.Name))
	connection, err := openConnection(volume, backend, a.stock, log)
	if err != nil {
		return nil, err
	}
	m, err := mountFile(filepath.Join(a.dir, volume.ID.String()), volume.Name, connection.fd)
	if err != nil {
		_ = unix.Close(connection.fd)
		return nil, err
	}
	connection.start(a.readers)
	d := &attached{mount: m, connection: connection, volume: volume, log: log}
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.Abort())
	}
	switch {
	case a.keeper == nil:
	case !connection.resends:
		log.Info("kernel cannot ask again what was not answered: the device ends with this process, Linux 6.9 can")
	default:
		d.keeper = a.keeper
		d.keep()
	}
	log.Info("volume attached", slog.String("device", d.Path()))
	return d, nil
}

// mountFile makes the volume's file and mounts the file system of fd on it.
func mountFile(file, name string, fd int) (m mounts.Mount, err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return m, fmt.Errorf("%w: there is %s", device.ErrAttached, file)
	}
	if err != nil {
		return m, fmt.Errorf("make a file to mount on: %w", err)
	}
	err = f.Close()
	mounted := false
	if err == nil {
		options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0", fd, fileMode)
		err = unix.Mount("lagan:"+name, file, fileSystemType, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options)
		mounted = err == nil
	}
	if err == nil {
		m, err = mountAt(file)
	}
	if err != nil {
		if mounted {
			err = errors.Join(err, detachLazily(file))
		}
		return m, errors.Join(fmt.Errorf("mount FUSE on %s: %w", file, err), os.Remove(file))
	}
	return m, nil
}

// mountAt finds our file system at the file in the table of mounts.
func mountAt(file string) (mounts.Mount, error) {
	table, err := mounts.List()
	if err != nil {
		return mounts.Mount{}, err
	}
	for _, m := range table {
		if m.Point == file && m.Type == fileSystemType {
			return m, nil
		}
	}
	return mounts.Mount{}, errors.New("it is not in the table of mounts")
}

// Cleaned is a device that a killed process left, and that Cleanup removed.
type Cleaned struct {
	VolumeID string   // the name of its file: the volume's identity
	Devices  []string // such as /dev/loop3; none if it was not mounted
	Mounts   []string // where a file system from the device was mounted
	// InUse says that somebody (a container that outlived the process) still
	// has files of the dead mount open, and must be restarted to get rid of it.
	InUse bool
}

// Cleanup removes what a killed process left in its directory: devices, what is
// mounted from them, and files. It must not run while a daemon uses the
// directory: its devices would be aborted. What other directories and other
// file systems own is left alone, and so are devices that are kept. It goes on after
// an error and returns what it did remove.
func Cleanup(ctx context.Context, dir string, kept ...block.VolumeID) (all []Cleaned, err error) {
	dir, err = ownDir(dir)
	if err != nil {
		return nil, err
	}
	table, err := mounts.List()
	if err != nil {
		return nil, fmt.Errorf("clean up %s: %w", dir, err)
	}
	for _, m := range table {
		if m.Type != fileSystemType || filepath.Dir(m.Point) != dir || isKept(filepath.Base(m.Point), kept) {
			continue
		}
		if ctx.Err() != nil {
			return all, errors.Join(err, ctx.Err())
		}
		done, cleanErr := clean(m, table)
		all, err = append(all, done), errors.Join(err, cleanErr)
	}
	return all, errors.Join(err, removeFiles(dir, kept))
}

func isKept(name string, kept []block.VolumeID) bool {
	return slices.ContainsFunc(kept, func(id block.VolumeID) bool { return id.String() == name })
}

// clean removes one device. Its file leaves the table of mounts last, so that
// whoever is killed in the middle of this is cleaned up after as well.
func clean(m mounts.Mount, table []mounts.Mount) (Cleaned, error) {
	done := Cleaned{VolumeID: filepath.Base(m.Point)}
	loops, err := loopsOn(m.Point)
	if err != nil {
		return done, err
	}
	for _, number := range loops {
		done.Devices = append(done.Devices, loopPath(number))
	}
	done.Mounts, err = force(m, table, loops)
	for _, number := range loops {
		inUse, clearErr := clearLoop(number, m.Point)
		done.InUse, err = done.InUse || inUse, errors.Join(err, clearErr)
	}
	return done, errors.Join(err, detachLazily(m.Point))
}

// removeFiles removes the files of volumes that nothing is mounted on.
func removeFiles(dir string, kept []block.VolumeID) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("clean up %s: %w", dir, err)
	}
	for _, e := range entries {
		var id block.VolumeID
		if id.UnmarshalText([]byte(e.Name())) != nil || strings.ToLower(e.Name()) != e.Name() || isKept(e.Name(), kept) {
			continue // not ours
		}
		if removeErr := os.Remove(filepath.Join(dir, e.Name())); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("clean up %s: %w", dir, removeErr))
		}
	}
	return err
}
