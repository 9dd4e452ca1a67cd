// Package reference measures what the machine itself can do, so that figures of
// ours can be given as ratios: the disk by bare system calls, the disk by fio,
// the loopback network by bare sockets. It knows nothing of the engine. The
// suite (package bench) runs its measurements in turn with those of ours.
package reference

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

// fillBytes is how much is written at once to fill a file.
const fillBytes = 1 << 20

// Disk is a file of its own, written once from end to end, beside the disks of
// the engine.
type Disk struct {
	Path   string
	Direct bool // opened with O_DIRECT; otherwise the file system refused that
	size   int64
	file   *os.File
	clock  func() step.Time
}

// Pattern is how a run goes through the file.
type Pattern struct {
	Write  bool
	Random bool // otherwise one operation follows the other, round and round
	Hot    bool // of Random: four of five operations go to every fifth place, as in a database
	Sync   bool // an fdatasync after each write
	Length int  // bytes of one operation
	Depth  int
	WarmUp time.Duration
	Span   time.Duration
}

// Cursor goes through size bytes as a pattern says.
type Cursor struct {
	pattern Pattern
	random  load.Random
	count   int64
	next    int64
}

// Cursor returns the cursor of one of the pattern's operations under way.
func (p *Pattern) Cursor(slot int, size int64, seed uint64) Cursor {
	count := size / int64(p.Length)
	return Cursor{*p, load.Random(seed), count, count * int64(slot) / int64(p.Depth)}
}

// hotEvery is one of how many places are hot.
const hotEvery = 5

// Next returns the offset of the next operation.
func (c *Cursor) Next() int64 {
	c.next = (c.next + 1) % c.count
	if c.pattern.Random {
		c.next = c.random.Below(c.count)
	}
	if c.pattern.Hot && c.random.Below(100) < 75 { // with those that hit one anyway, 80
		c.next -= c.next % hotEvery
	}
	return c.next * int64(c.pattern.Length)
}

// OpenDisk makes a file of size bytes at path and fills it.
func OpenDisk(path string, size int64, pool block.Pool, clock func() step.Time) (*Disk, error) {
	d := &Disk{Path: path, Direct: true, size: size, clock: clock}
	const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	file, err := os.OpenFile(path, flags|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) {
		d.Direct = false
		file, err = os.OpenFile(path, flags, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("make the reference file: %w", err)
	}
	d.file = file
	if err := d.fill(pool); err != nil {
		return nil, errors.Join(fmt.Errorf("fill the reference file %s: %w", path, err), d.Close())
	}
	return d, nil
}

func (d *Disk) fill(pool block.Pool) error {
	buffer := Noise(pool, fillBytes, 1)
	defer buffer.Release()
	for at := int64(0); at < d.size; at += fillBytes {
		if _, err := unix.Pwrite(int(d.file.Fd()), buffer.Bytes(), at); err != nil {
			return err
		}
	}
	return unix.Fdatasync(int(d.file.Fd()))
}

// Close removes the file.
func (d *Disk) Close() error { return errors.Join(d.file.Close(), os.Remove(d.Path)) }

// Run measures one pattern with blocking system calls, one goroutine for each
// operation under way.
func (d *Disk) Run(ctx context.Context, pool block.Pool, p Pattern) (load.Figures, error) {
	type slot struct {
		buffer block.Buffer
		cursor Cursor
	}
	slots := make([]slot, p.Depth)
	for i := range slots {
		slots[i] = slot{Noise(pool, p.Length, uint64(i)), p.Cursor(i, d.size, uint64(i))}
		defer slots[i].buffer.Release()
	}
	fd := int(d.file.Fd())
	s, err := load.Run(ctx, &load.Job{
		Clock: d.clock, Depth: p.Depth, WarmUp: p.WarmUp, Span: p.Span, Bytes: p.Length,
		One: func(i int) error {
			return transfer(fd, slots[i].buffer.Bytes(), slots[i].cursor.Next(), &p)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("reference file %s: %w", d.Path, err)
	}
	return s.Figures(), nil
}

func transfer(fd int, data []byte, offset int64, p *Pattern) error {
	call := unix.Pread
	if p.Write {
		call = unix.Pwrite
	}
	n, err := call(fd, data, offset)
	if err == nil && n != len(data) {
		err = fmt.Errorf("%d of %d bytes at %d", n, len(data), offset)
	}
	if err == nil && p.Sync {
		err = unix.Fdatasync(fd)
	}
	return err
}

// Noise returns a buffer that no disk can compress.
func Noise(pool block.Pool, length int, seed uint64) block.Buffer {
	b := pool.Get(length)
	source := load.Random(seed)
	for data := b.Bytes(); len(data) >= 8; data = data[8:] {
		binary.LittleEndian.PutUint64(data, source.Next())
	}
	return b
}
