package fuse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/mounts"
)

// record is what is kept of a device beside its descriptors, which are those of its
// connection and of its loop device.
type record struct {
	Name   string       `json:"name"`
	Size   int64        `json:"size"`
	Mount  mounts.Mount `json:"mount"`
	Loop   uint32       `json:"loop"`
	Limit  string       `json:"limit"`
	Memory []byte       `json:"memory"`
}

// keep has the device outlive this process, as it is now; d is not being changed. If
// that fails it only ends with the process, as others do.
func (d *attached) keep() {
	if d.keeper == nil || d.gone || !d.connection.hold() {
		return
	}
	defer d.connection.release()
	r := record{
		Name: d.volume.Name, Size: d.connection.size.Load(), Mount: d.mount,
		Loop: d.loop.number, Limit: d.loop.limit, Memory: d.memory,
	}
	data, err := json.Marshal(r)
	if err == nil {
		err = d.keeper.Keep(d.volume.ID, data, d.connection.fd, d.loop.fd)
	}
	if err != nil {
		d.log.Warn("device ends with this process", slog.Any("error", err))
	}
}

// Remember implements device.Lasting.
func (d *attached) Remember(memory []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.memory = memory
	d.keep()
}

// Leave implements device.Lasting.
func (d *attached) Leave() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keeper == nil || d.gone {
		return false
	}
	d.connection.left.Store(true)
	d.log.Info("device waits for the next process", slog.String("device", d.path))
	return true
}

// Survivor is a device whose process is gone. Whoever uses it waits, until it is
// served again or abandoned.
type Survivor struct {
	a      *Attacher
	id     block.VolumeID
	record record
	fds    [2]int // of the connection and the loop device
}

// Survivor makes out what a Keeper had of a device.
func (a *Attacher) Survivor(k device.Kept) (*Survivor, error) {
	s := &Survivor{a: a, id: k.Volume}
	err := json.Unmarshal(k.Record, &s.record)
	if err == nil && len(k.Descriptors) != len(s.fds) {
		err = fmt.Errorf("there are %d descriptors", len(k.Descriptors))
	}
	if err != nil {
		for _, fd := range k.Descriptors {
			_ = unix.Close(fd)
		}
		return nil, errors.Join(fmt.Errorf("device of volume %v cannot be taken over: %w", k.Volume, err), a.keeper.Forget(k.Volume))
	}
	s.fds = [2]int(k.Descriptors)
	return s, nil
}

// ID returns whose device it is.
func (s *Survivor) ID() block.VolumeID { return s.id }

// Name returns what people call its volume.
func (s *Survivor) Name() string { return s.record.Name }

// Size returns how large it is.
func (s *Survivor) Size() int64 { return s.record.Size }

// Memory returns what was remembered last.
func (s *Survivor) Memory() []byte { return s.record.Memory }

// Resume serves the device: first what was not answered. After an error it can only be
// abandoned.
func (s *Survivor) Resume(_ context.Context, backend device.Backend) (device.Device, error) {
	log := s.a.log.With(slog.String("volume", s.record.Name))
	m, err := mountAt(s.record.Mount.Point)
	if err == nil && m.Minor != s.record.Mount.Minor {
		err = errors.New("another one is mounted there")
	}
	var c *connection
	if err == nil {
		c, err = takeOver(s.fds[0], s.record.Size, s.a.readers, backend, s.a.stock, log)
	}
	if err != nil {
		return nil, fmt.Errorf("take over the device of volume %q: %w", s.record.Name, err)
	}
	l := &loop{fd: s.fds[1], number: s.record.Loop, limit: s.record.Limit}
	d := &attached{
		mount: m, connection: c, log: log, loop: l, path: l.path(), memory: s.record.Memory, keeper: s.a.keeper,
		volume: device.Volume{Name: s.record.Name, ID: s.id, Size: s.record.Size},
	}
	log.Info("device is served again", slog.String("device", d.path))
	return d, nil
}

// Abandon removes the device: whoever waits for it gets an error.
func (s *Survivor) Abandon() error {
	table, err := mounts.List()
	done, cleanErr := clean(s.record.Mount, table)
	for _, fd := range s.fds {
		_ = unix.Close(fd) // it is aborted
	}
	removeErr := os.Remove(s.record.Mount.Point)
	if errors.Is(removeErr, fs.ErrNotExist) {
		removeErr = nil
	}
	if err = errors.Join(err, cleanErr, removeErr, s.a.keeper.Forget(s.id)); err != nil {
		return fmt.Errorf("remove the device of volume %q: %w", s.record.Name, err)
	}
	s.a.log.Warn("device that outlived its process was removed", slog.String("volume", s.record.Name),
		slog.Any("devices", done.Devices), slog.Any("mounts", done.Mounts), slog.Bool("in_use", done.InUse))
	return nil
}
