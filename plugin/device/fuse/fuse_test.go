package fuse_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/fuse"
	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/device/mounts"
	"github.com/lagan-storage/lagan/plugin/require"
)

const mib = 1 << 20

// newAttacher makes an attacher in a directory whose leftovers are removed.
func newAttacher(t testing.TB) (a *fuse.Attacher, dir string) {
	t.Helper()
	require.FUSE(t)
	dir = t.TempDir()
	a, err := fuse.New(fuse.Params{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func volumeOf(backend *memory.Volume) device.Volume {
	return device.Volume{Name: "db", ID: block.VolumeID{0xDB}, Size: backend.Size()}
}

// attach attaches; the device is gone when the test ends.
func attach(t testing.TB, a *fuse.Attacher, backend *memory.Volume) device.Device {
	t.Helper()
	d, err := a.Attach(t.Context(), volumeOf(backend), backend)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Abort(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, arguments ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

// aligned returns memory that direct I/O takes.
func aligned(size int) []byte {
	b := make([]byte, size+block.Size)
	skip := block.Size - int(uintptr(unsafe.Pointer(&b[0]))%block.Size)
	return b[skip : skip+size]
}

// openDirect opens a device or a file around the page cache.
func openDirect(t testing.TB, name string) int {
	t.Helper()
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

func mountedAt(t testing.TB, point string) bool {
	t.Helper()
	table, err := mounts.List()
	must(t, err)
	for _, m := range table {
		if m.Point == point {
			return true
		}
	}
	return false
}

func TestDetachLeavesNothing(t *testing.T) {
	a, dir := newAttacher(t)
	before := descriptors(t)
	d := attach(t, a, memory.New(16*mib))
	must(t, d.Detach(t.Context()))
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left in the directory: %v %v", entries, err)
	}
	if mountedAt(t, filepath.Join(dir, volumeOf(memory.New(0)).ID.String())) {
		t.Error("the FUSE file is still mounted")
	}
	must(t, d.Detach(t.Context()))
	must(t, d.Abort())
}

// Programs that look into every device, and copies of our mount in namespaces
// made meanwhile, are no users.
func TestDetachDoesNotWaitForBystanders(t *testing.T) {
	a, _ := newAttacher(t)
	require.Program(t, "unshare", "util-linux")
	d := attach(t, a, memory.New(16*mib))
	looking := openDirect(t, d.Path())
	other := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; read line")
	in, err := other.StdinPipe()
	must(t, err)
	out, err := other.StdoutPipe()
	must(t, err)
	must(t, other.Start())
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}

	must(t, d.Detach(t.Context()))

	if _, err := unix.Pread(looking, aligned(block.Size), 0); err == nil {
		t.Error("the device still answers")
	}
	must(t, in.Close())
	_ = other.Wait() // read says that its input ended
}

func TestDetachWritesOutAndFlushesWhatIsCached(t *testing.T) {
	a, _ := newAttacher(t)
	backend := memory.New(16 * mib)
	d := attach(t, a, backend)
	content := bytes.Repeat([]byte("cached"), mib)[:mib]
	must(t, os.WriteFile(d.Path(), content, 0)) // no fsync
	must(t, d.Detach(t.Context()))
	if !backend.Holds(0, content) {
		t.Error("a cached write was lost with the detach")
	}
	if backend.Flushes.Load() == 0 {
		t.Error("the backend was not flushed")
	}
}

func TestVolumeHasOneDevice(t *testing.T) {
	a, _ := newAttacher(t)
	backend := memory.New(16 * mib)
	d := attach(t, a, backend)
	if _, err := a.Attach(t.Context(), volumeOf(backend), backend); !errors.Is(err, device.ErrAttached) {
		t.Errorf("got %v, want %v", err, device.ErrAttached)
	}
	must(t, d.Detach(t.Context()))
	must(t, attach(t, a, backend).Detach(t.Context()))
}

func TestAbortOfAnOldDeviceLeavesTheNextAlone(t *testing.T) {
	a, _ := newAttacher(t)
	backend := memory.New(16 * mib)
	first := attach(t, a, backend)
	must(t, first.Abort())
	second := attach(t, a, backend)
	must(t, first.Abort())
	if _, err := unix.Pread(openDirect(t, second.Path()), aligned(block.Size), 0); err != nil {
		t.Errorf("read of the next device: %v", err)
	}
}

func TestSizesThatAreNotBlocksAreRefused(t *testing.T) {
	a, _ := newAttacher(t)
	for _, size := range []int64{0, -4096, 4095, mib + 512} {
		if _, err := a.Attach(t.Context(), device.Volume{Name: "odd", Size: size}, memory.New(0)); err == nil {
			t.Errorf("a volume of %d bytes was attached", size)
		}
	}
}

func TestDeviceGrowsAndDoesNotShrink(t *testing.T) {
	a, _ := newAttacher(t)
	backend := memory.New(32 * mib)
	d := attach(t, a, backend)
	backend.Grow(64 * mib)
	must(t, d.Resize(t.Context(), 64*mib))
	fd, page := openDirect(t, d.Path()), aligned(block.Size)
	copy(page, "beyond the old end")
	if _, err := unix.Pwrite(fd, page, 48*mib); err != nil {
		t.Fatalf("write beyond the old end: %v", err)
	}
	if !backend.Holds(48*mib, page) {
		t.Error("the write did not arrive")
	}
	if err := d.Resize(t.Context(), 32*mib); err == nil {
		t.Error("the device was shrunk")
	}
}

func TestDeviceHasSectorsOfABlockAndGoesAroundThePageCache(t *testing.T) {
	a, _ := newAttacher(t)
	d := attach(t, a, memory.New(16*mib))
	for attribute, want := range map[string]string{
		"queue/logical_block_size": "4096", "loop/dio": "1", "loop/autoclear": "1", "queue/max_sectors_kb": "256",
	} {
		got, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(d.Path()), attribute))
		if strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %q %v, want %s", attribute, got, err, want)
		}
	}
}

// Direct I/O from memory that is not aligned to pages must not reach the
// backend in pieces that are not blocks.
func TestTransfersFromUnalignedMemoryStayWholeBlocks(t *testing.T) {
	a, _ := newAttacher(t)
	backend := memory.New(16 * mib)
	fd := openDirect(t, attach(t, a, backend).Path())
	out, in := aligned(4*mib + block.Size)[512:4*mib+512], aligned(4*mib + block.Size)[1536:4*mib+1536]
	for i := 0; i < len(out); i += 8 {
		binary.LittleEndian.PutUint64(out[i:], uint64(i))
	}
	if n, err := unix.Pwrite(fd, out, mib); err != nil || n != len(out) {
		t.Fatalf("wrote %d: %v", n, err)
	}
	if !backend.Holds(mib, out) {
		t.Error("something else was written")
	}
	if n, err := unix.Pread(fd, in, mib); err != nil || n != len(in) || !bytes.Equal(in, out) {
		t.Errorf("read %d, equal %v: %v", n, bytes.Equal(in, out), err)
	}
}

func TestErrorsReachTheClient(t *testing.T) {
	a, dir := newAttacher(t)
	backend := memory.New(16 * mib)
	attach(t, a, backend)
	fd := openDirect(t, filepath.Join(dir, volumeOf(backend).ID.String()))
	for err, want := range map[error]unix.Errno{
		device.ErrNoSpace:                             unix.ENOSPC,
		fmt.Errorf("write: %w", device.ErrGone):       unix.ENODEV,
		device.ErrTimeout:                             unix.ETIMEDOUT,
		errors.New("anything that nobody thought of"): unix.EIO,
	} {
		backend.Fail.Store(&err)
		if _, got := unix.Pwrite(fd, aligned(block.Size), 0); !errors.Is(got, want) {
			t.Errorf("write with %q: %v, want %v", err, got, want)
		}
		if _, got := unix.Pread(fd, aligned(block.Size), 0); !errors.Is(got, want) {
			t.Errorf("read with %q: %v, want %v", err, got, want)
		}
		if got := unix.Fsync(fd); !errors.Is(got, want) {
			t.Errorf("flush with %q: %v, want %v", err, got, want)
		}
	}
	backend.Fail.Store(nil)
	if _, err := unix.Pwrite(fd, aligned(512), 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("write of half a block: %v, want %v", err, unix.EINVAL)
	}
}
