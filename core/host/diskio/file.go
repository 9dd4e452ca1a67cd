package diskio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

// File is a disk that a node was given: a raw block device or one
// preallocated file.
type File struct {
	Path   string
	ID     block.DiskID // whose store must be on it; zero: whichever it is
	Size   int64        // bytes
	Direct bool         // opened with O_DIRECT; otherwise the file system refused that
	file   *os.File
}

// Open opens the disk at path. A file is made, and grown to size bytes,
// if size is above 0; its space is allocated, so that it cannot run out later.
func Open(path string, size int64) (*File, error) {
	flags := os.O_RDWR
	if size > 0 {
		flags |= os.O_CREATE
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeDevice != 0 {
		flags = os.O_RDWR | unix.O_EXCL // of a device: nothing of it is mounted or part of something else
	}
	d := &File{Path: path, Direct: true}
	file, err := os.OpenFile(path, flags|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) {
		d.Direct = false
		file, err = os.OpenFile(path, flags, 0o600)
	}
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("open disk: %w: it is mounted, or part of an array or a volume group: free it first", err)
	case err != nil:
		return nil, fmt.Errorf("open disk: %w", err)
	}
	d.file = file
	if err := d.prepare(size); err != nil {
		return nil, errors.Join(fmt.Errorf("disk %s: %w", path, err), file.Close())
	}
	return d, nil
}

// prepare locks the disk against a second process and learns or makes its size.
func (d *File) prepare(size int64) error {
	fd := int(d.file.Fd())
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("in use by another process (%w): stop that one first", err)
	}
	info, err := d.file.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() && info.Mode()&(fs.ModeDevice|fs.ModeCharDevice) != fs.ModeDevice:
		return errNoDisk
	}
	if info.Mode().IsRegular() && info.Size() < size {
		if err := unix.Fallocate(fd, 0, 0, size); err != nil {
			return fmt.Errorf("allocate %d bytes: %w", size, err)
		}
	}
	d.Size, err = d.file.Seek(0, 2)
	return err
}

// Close gives the disk back.
func (d *File) Close() error { return d.file.Close() }

// holds reports whether op lies within the disk. A file would grow.
func (d *File) holds(op *step.DiskOp) bool { return op.End() <= d.Size }

// Perform runs one operation to its end, on the caller's goroutine: for those
// who drive a store themselves.
func (d *File) Perform(op *step.DiskOp) step.DiskError {
	return d.perform(op, nil)
}

// perform runs one operation to its end. pieces is memory that it may use.
func (d *File) perform(op *step.DiskOp, pieces [][]byte) step.DiskError {
	if !d.holds(op) {
		return step.DiskShort
	}
	for _, b := range op.Pieces {
		pieces = append(pieces, b.Bytes())
	}
	fd := int(d.file.Fd())
	switch op.Kind {
	case step.DiskSync:
		for {
			err := unix.Fdatasync(fd)
			if err == nil {
				return step.DiskOK
			}
			if !errors.Is(err, unix.EINTR) {
				return step.DiskEIO
			}
		}
	case step.DiskRead:
		return transfer(unix.Preadv, fd, op.Offset, pieces)
	case step.DiskWrite:
		return transfer(unix.Pwritev, fd, op.Offset, pieces)
	}
	return step.DiskEIO
}

// iovMax is how many pieces one call takes.
const iovMax = 1024

// transfer repeats call until all pieces are through.
func transfer(call func(int, [][]byte, int64) (int, error), fd int, offset int64, pieces [][]byte) step.DiskError {
	for len(pieces) > 0 {
		n, err := call(fd, pieces[:min(len(pieces), iovMax)], offset)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return step.DiskEIO
		case n == 0:
			return step.DiskShort
		}
		offset += int64(n)
		pieces = skip(pieces, n)
	}
	return step.DiskOK
}

// skip drops the first n bytes of pieces.
func skip(pieces [][]byte, n int) [][]byte {
	for len(pieces) > 0 && n >= len(pieces[0]) {
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	if n > 0 {
		pieces[0] = pieces[0][n:]
	}
	return pieces
}
