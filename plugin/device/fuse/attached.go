package fuse

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/mounts"
	"github.com/lagan-storage/lagan/plugin/program"
)

// attached is a volume's device.
//
//	attach ──▶ [ open ] ──▶ detach: claimed, synced ──▶ gone
//	              └──────── abort ────────────────────────▲
type attached struct {
	mount      mounts.Mount // our one-file file system
	connection *connection
	volume     device.Volume // its size is the connection's
	keeper     device.Keeper // nil: it ends with this process
	log        *slog.Logger
	mu         sync.Mutex
	loop       *loop
	gone       bool // unmounted and given up; others may still have it open
	removed    bool // and its file, whose name the volume's next device takes
	path       string
	memory     []byte // of whoever uses it: see Remember
}

// open finishes the attaching of a mounted file.
func (d *attached) open(ctx context.Context) error {
	if err := d.connection.established(ctx); err != nil {
		return err
	}
	l, err := openLoop(ctx, d.mount.Point)
	if err != nil {
		return err
	}
	d.loop, d.path = l, l.path()
	if err := l.limitRequests(); err != nil {
		d.log.Warn("cannot limit requests of the loop device: I/O from unaligned memory may fail", slog.Any("error", err))
	}
	if !l.direct() {
		d.log.Warn("loop device goes through the page cache: everything is cached twice", slog.String("device", d.path))
	}
	return nil
}

// Path returns the block device.
func (d *attached) Path() string { return d.path }

// Resize makes the device grow.
func (d *attached) Resize(_ context.Context, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.grow(size); err != nil {
		return fmt.Errorf("resize %s to %d bytes: %w", d.path, size, err)
	}
	return nil
}

func (d *attached) grow(size int64) error {
	now := d.connection.size.Load()
	switch {
	case d.gone:
		return device.ErrGone
	case size < now || size%block.Size != 0:
		return fmt.Errorf("a device of %d bytes grows by whole blocks of %d bytes only", now, block.Size)
	}
	if err := d.connection.resize(size); err != nil {
		return err
	}
	var stat unix.Stat_t
	if err := unix.Stat(d.mount.Point, &stat); err != nil { // makes the kernel learn the size
		return fmt.Errorf("stat %s: %w", d.mount.Point, err)
	}
	if err := d.loop.grow(size); err != nil {
		return err
	}
	d.keep()
	return nil
}

// Detach removes the device when nobody uses it.
func (d *attached) Detach(ctx context.Context) error {
	if err := d.detach(ctx); err != nil {
		return fmt.Errorf("detach %s: %w", d.path, err)
	}
	d.log.Info("volume detached", slog.String("device", d.path))
	return nil
}

func (d *attached) detach(ctx context.Context) error {
	claim, err := d.claim()
	if err != nil {
		return err
	}
	if claim >= 0 { // otherwise it was given up before
		if _, err = program.Run(ctx, "sync", d.path); err == nil { // written out and flushed
			err = d.giveUp(claim)
		} else {
			_ = unix.Close(claim) // read only
		}
	}
	if err != nil {
		return err
	}
	select {
	case <-d.connection.ended:
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.removeFile()
	case <-ctx.Done():
		return fmt.Errorf("another program has it open: %w", ctx.Err())
	}
}

// claim keeps others from mounting the device; -1 when it was given up before.
func (d *attached) claim() (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return -1, nil
	}
	claim, err := d.loop.claim()
	if !errors.Is(err, unix.EBUSY) {
		return claim, err
	}
	table, listErr := mounts.List()
	if points := mountsOn(table, d.loop.number); len(points) > 0 {
		return -1, fmt.Errorf("%w: mounted at %s", device.ErrBusy, strings.Join(points, ", "))
	}
	return -1, errors.Join(fmt.Errorf("%w: claimed by another program, or mounted in another mount namespace", device.ErrBusy), listErr)
}

// giveUp lets go of the claimed loop device and of the mount. Everything was
// written out under the claim, so the connection is aborted and not waited for:
// programs that look into every device, and copies of the mount in other mount
// namespaces, would keep it for long.
func (d *attached) giveUp(claim int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		_ = unix.Close(claim) // read only
		return device.ErrGone // aborted meanwhile
	}
	d.gone = true
	err := d.loop.close()
	_ = unix.Close(claim) // the device vanishes with its last user
	if abortErr := abortConnection(d.mount); abortErr != nil {
		d.log.Warn("cannot abort the connection: it ends when nobody has the device open", slog.Any("error", abortErr))
	}
	return errors.Join(err, detachLazily(d.mount.Point))
}

// Abort removes the device whoever hangs.
func (d *attached) Abort() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.removed {
		return nil
	}
	var err error
	var points []string
	if !d.ended() { // else the number of the connection may be another's now
		points, err = d.force()
	}
	if d.loop != nil && !d.gone {
		err = errors.Join(err, d.loop.close())
	}
	if !d.gone {
		err = errors.Join(err, detachLazily(d.mount.Point))
	}
	d.gone = true
	if err = errors.Join(err, d.removeFile()); err != nil {
		return fmt.Errorf("abort %s: %w", d.mount.Point, err)
	}
	d.log.Warn("device aborted", slog.String("device", d.path), slog.Any("mounts", points))
	return nil
}

func (d *attached) force() ([]string, error) {
	table, err := mounts.List()
	var loops []uint32
	if d.loop != nil && !d.gone {
		loops = append(loops, d.loop.number)
	}
	points, forceErr := force(d.mount, table, loops)
	return points, errors.Join(err, forceErr)
}

// ended reports whether the kernel has let go of the file system.
func (d *attached) ended() bool {
	select {
	case <-d.connection.ended:
		return true
	default:
		return false
	}
}

// removeFile removes the file that our file system was mounted on.
func (d *attached) removeFile() error {
	if d.removed {
		return nil
	}
	err := os.Remove(d.mount.Point)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the file of a device: %w", err)
	}
	d.removed = true
	if d.keeper != nil {
		if err := d.keeper.Forget(d.volume.ID); err != nil {
			d.log.Warn("device that is no more may still be held", slog.Any("error", err))
		}
	}
	return nil
}
