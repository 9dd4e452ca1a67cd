package fuse

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device/mounts"
)

const (
	loopMajor = 7
	// loopTriesMax bounds the race for a free loop device with whoever else
	// on this machine wants one.
	loopTriesMax = 100
)

// loop is a loop device that we hold open. It clears itself with its last user,
// so a killed process leaves none that is not mounted.
type loop struct {
	fd     int
	number uint32
	limit  string // max_sectors_kb as we found it
}

func loopPath(number uint32) string { return fmt.Sprintf("/dev/loop%d", number) }

func (l *loop) path() string { return loopPath(l.number) }

// openLoop puts a loop device on the file.
func openLoop(ctx context.Context, file string) (*loop, error) {
	// No child may be forked while the file is open: exec would close it in
	// the child, and that may ask our own server while the runtime stands
	// still for the fork.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	backing, err := unix.Open(file, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	defer func() { _ = unix.Close(backing) }() // the loop device has its own reference
	var stat unix.Stat_t
	if err := unix.Fstat(backing, &stat); err != nil { // makes the kernel learn the size
		return nil, fmt.Errorf("stat %s: %w", file, err)
	}
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/loop-control: %w: load the kernel module loop, as root", err)
	}
	defer func() { _ = unix.Close(control) }()
	for range loopTriesMax {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		number, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		l, err := configureLoop(uint32(number), backing)
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENXIO) {
			return l, err
		}
	}
	return nil, fmt.Errorf("find a free loop device: %d were taken by others first: %w", loopTriesMax, unix.EBUSY)
}

// configureLoop claims a free loop device; EBUSY says that another was faster.
func configureLoop(number uint32, backing int) (*loop, error) {
	path := loopPath(number)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) { // /dev is not the kernel's own here
		err = unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(loopMajor, number)))
		if err == nil || errors.Is(err, unix.EEXIST) {
			fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	err = unix.IoctlLoopConfigure(fd, &unix.LoopConfig{
		Fd: uint32(backing), Size: block.Size,
		Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_DIRECT_IO | unix.LO_FLAGS_AUTOCLEAR},
	})
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("configure %s: %w", path, err)
	}
	return &loop{fd: fd, number: number}, nil
}

// direct reports whether the loop device goes around the page cache.
func (l *loop) direct() bool {
	text, err := os.ReadFile(l.attribute("loop/dio"))
	return err == nil && strings.TrimSpace(string(text)) == "1"
}

func (l *loop) attribute(name string) string {
	return filepath.Join("/sys/block", "loop"+strconv.Itoa(int(l.number)), name)
}

// limitRequests keeps the kernel from cutting a request into transfers.
func (l *loop) limitRequests() error {
	file := l.attribute("queue/max_sectors_kb")
	before, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(strconv.Itoa(transferBytesMax>>10)), 0)
	}
	if err == nil {
		l.limit = string(before)
	}
	return err
}

// grow takes over the size of the file, which must be size bytes.
func (l *loop) grow(size int64) error {
	if err := unix.IoctlSetInt(l.fd, unix.LOOP_SET_CAPACITY, 0); err != nil {
		return fmt.Errorf("set the size of %s: %w", l.path(), err)
	}
	now, err := unix.Seek(l.fd, 0, unix.SEEK_END)
	if err == nil && now != size {
		err = fmt.Errorf("it has %d bytes, not %d", now, size)
	}
	if err != nil {
		return fmt.Errorf("set the size of %s: %w", l.path(), err)
	}
	return nil
}

// claim opens the device for us alone; EBUSY while it is mounted.
func (l *loop) claim() (int, error) {
	return unix.Open(l.path(), unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
}

// close gives the device up. It vanishes with its last user, us or another.
func (l *loop) close() error {
	if l.limit != "" {
		// Others use this number after us; what is wrong with the old limit
		// they would have had without us, too.
		_ = os.WriteFile(l.attribute("queue/max_sectors_kb"), []byte(l.limit), 0)
	}
	if err := unix.Close(l.fd); err != nil {
		return fmt.Errorf("close %s: %w", l.path(), err)
	}
	return nil
}

// mountsOn returns where file systems from the loop device are mounted.
func mountsOn(table []mounts.Mount, number uint32) (points []string) {
	for _, m := range table {
		if m.Major == loopMajor && m.Minor == number {
			points = append(points, m.Point)
		}
	}
	return points
}

// loopsOn returns the numbers of the loop devices on the file. It asks sysfs,
// not the devices: those would ask a file system whose server may be dead.
func loopsOn(file string) (numbers []uint32, err error) {
	found, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, fmt.Errorf("list loop devices: %w", err)
	}
	for _, entry := range found {
		name, err := os.ReadFile(entry)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue // cleared meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list loop devices: %w", err)
		}
		if strings.TrimSuffix(string(name), "\n") != file {
			continue
		}
		number, err := strconv.ParseUint(strings.TrimPrefix(filepath.Base(filepath.Dir(filepath.Dir(entry))), "loop"), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("list loop devices: %s: %w", entry, err)
		}
		numbers = append(numbers, uint32(number))
	}
	return numbers, nil
}

// clearLoop frees a loop device that a killed process left on the file, now or
// with its last user. It reports whether a file system still claims the device.
func clearLoop(number uint32, file string) (inUse bool, err error) {
	path := loopPath(number)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		inUse = true
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return inUse, fmt.Errorf("free %s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }() // read only
	// While we have it open it stays on its file, but it may have cleared
	// itself before and be another's by now.
	loops, err := loopsOn(file)
	if err != nil || !slices.Contains(loops, number) {
		return false, err
	}
	err = unix.IoctlSetInt(fd, unix.LOOP_CLR_FD, 0)
	if err != nil && !errors.Is(err, unix.ENXIO) { // ENXIO: it is free already
		return inUse, fmt.Errorf("free %s: %w", path, err)
	}
	return inUse, nil
}
