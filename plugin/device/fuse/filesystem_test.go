package fuse_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/filesystem"
	"github.com/lagan-storage/lagan/plugin/require"
)

// eachType runs a test with a mounted file system of each type; mounted is what
// it starts with.
func eachType(t *testing.T, test func(t *testing.T, v mounted)) {
	t.Helper()
	for kind, program := range map[filesystem.Type][2]string{filesystem.Ext4: {"mkfs.ext4", "e2fsprogs"}, filesystem.XFS: {"mkfs.xfs", "xfsprogs"}} {
		t.Run(string(kind), func(t *testing.T) {
			a, _ := newAttacher(t)
			require.Program(t, program[0], program[1])
			v := mounted{backend: memory.New(400 * mib), kind: kind, target: filepath.Join(t.TempDir(), "mount")}
			v.attach = func() device.Device { return attach(t, a, v.backend) }
			v.device = v.attach()
			must(t, filesystem.Make(t.Context(), v.device.Path(), kind))
			must(t, filesystem.Mount(t.Context(), v.device.Path(), v.target, kind))
			test(t, v)
		})
	}
}

type mounted struct {
	backend *memory.Volume
	kind    filesystem.Type
	target  string
	device  device.Device
	attach  func() device.Device // again
}

// writeFiles writes a tree with fsync and returns the checksum of each file.
func writeFiles(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	sums := map[string][32]byte{}
	for i := range 60 {
		name := filepath.Join(dir, fmt.Sprint(i%7), fmt.Sprintf("file-%d", i))
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		content := make([]byte, 1+(i*i*977)%(1<<20))
		_, _ = random.Read(content) // never fails
		sums[name] = sha256.Sum256(content)
		file, err := os.Create(name)
		must(t, err)
		_, err = file.Write(content)
		must(t, errors.Join(err, file.Sync(), file.Close()))
	}
	return sums
}

func verifyFiles(t *testing.T, sums map[string][32]byte) {
	t.Helper()
	for name, want := range sums {
		content, err := os.ReadFile(name)
		if err != nil || sha256.Sum256(content) != want {
			t.Errorf("%s did not come back: %v", name, err)
		}
	}
}

func TestFileSystemsComeBackOnTheNextDevice(t *testing.T) {
	eachType(t, func(t *testing.T, v mounted) {
		ctx := t.Context()
		before := v.backend.Flushes.Load()
		sums := writeFiles(t, v.target)
		if got := v.backend.Flushes.Load() - before; got < int64(len(sums)) {
			t.Errorf("%d flushes arrived of %d files that were synced", got, len(sums))
		}
		if err := v.device.Detach(ctx); !errors.Is(err, device.ErrBusy) || !strings.Contains(err.Error(), v.target) {
			t.Errorf("detach while mounted: %v, want %v with the mount point", err, device.ErrBusy)
		}
		must(t, filesystem.Unmount(ctx, v.target))
		must(t, v.device.Detach(ctx))

		next := v.attach()
		must(t, filesystem.Check(ctx, next.Path(), v.kind))
		must(t, filesystem.Mount(ctx, next.Path(), v.target, v.kind))
		verifyFiles(t, sums)
		for name := range sums {
			must(t, os.Remove(name))
		}
		must(t, filesystem.Unmount(ctx, v.target)) // xfs does not trim what it freed a moment ago
		must(t, filesystem.Mount(ctx, next.Path(), v.target, v.kind))
		zeros := v.backend.Zeroes.Load()
		run(t, "fstrim", v.target)
		if v.backend.Zeroes.Load() == zeros {
			t.Error("fstrim reached no Zero")
		}
		must(t, filesystem.Unmount(ctx, v.target))
		must(t, next.Detach(ctx))
	})
}

func TestSyncedFilesSurviveAnAbort(t *testing.T) {
	eachType(t, func(t *testing.T, v mounted) {
		ctx := t.Context()
		sums := writeFiles(t, v.target)
		open, err := os.Open(v.target) // the dead mount stays, and with it its identity
		must(t, err)
		must(t, v.device.Abort())
		if err := os.WriteFile(filepath.Join(v.target, "late"), nil, 0o600); err != nil {
			t.Errorf("the mount point is no plain directory any more: %v", err)
		}
		must(t, os.Remove(filepath.Join(v.target, "late")))

		next := v.attach()
		must(t, filesystem.Check(ctx, next.Path(), v.kind))
		must(t, filesystem.Mount(ctx, next.Path(), v.target, v.kind))
		verifyFiles(t, sums)
		must(t, open.Close())
		must(t, filesystem.Unmount(ctx, v.target))
		must(t, next.Detach(ctx))
	})
}

func TestFileSystemGrowsIntoItsDevice(t *testing.T) {
	eachType(t, func(t *testing.T, v mounted) {
		ctx := t.Context()
		sums := writeFiles(t, v.target)
		capacity := func() int64 {
			var stat unix.Statfs_t
			must(t, unix.Statfs(v.target, &stat))
			return int64(stat.Blocks) * stat.Bsize
		}
		before := capacity()
		v.backend.Grow(600 * mib)
		must(t, v.device.Resize(ctx, 600*mib))
		err := filesystem.Grow(ctx, v.device.Path(), v.target, v.kind)
		if errors.Is(err, filesystem.ErrGrowUnmounted) { // this machine may not do it online
			must(t, filesystem.Unmount(ctx, v.target))
			must(t, filesystem.GrowUnmounted(ctx, v.device.Path(), v.kind))
			must(t, filesystem.Mount(ctx, v.device.Path(), v.target, v.kind))
			err = nil
		}
		must(t, err)
		if got := capacity(); got < before+150*mib {
			t.Errorf("grew from %d to %d bytes by 200 MiB", before, got)
		}
		verifyFiles(t, sums)
		must(t, filesystem.Unmount(ctx, v.target))
	})
}

func TestFrozenFileSystemIsThawedWhateverHappens(t *testing.T) {
	eachType(t, func(t *testing.T, v mounted) {
		ctx := t.Context()
		note := filepath.Join(v.target, "note")
		thaw, err := filesystem.Freeze(ctx, v.target, time.Hour)
		must(t, err)
		if _, err := filesystem.Freeze(ctx, v.target, time.Hour); err == nil || !strings.Contains(err.Error(), "busy") {
			t.Errorf("it is not frozen: another one says %v", err)
		}
		must(t, thaw())
		must(t, os.WriteFile(note, []byte("written"), 0o600))
		_, err = filesystem.Freeze(ctx, v.target, time.Millisecond) // nobody thaws it
		must(t, err)
		must(t, os.WriteFile(note, []byte("written again"), 0o600))
		if _, err := filesystem.Freeze(ctx, filepath.Join(v.target, "none"), time.Hour); err == nil {
			t.Error("what is not there is frozen")
		}
		err = filesystem.Unmount(ctx, v.target)
		for errors.Is(err, filesystem.ErrMounted) { // who thawed it has yet to end
			time.Sleep(time.Millisecond)
			err = filesystem.Unmount(ctx, v.target)
		}
		must(t, err)
		must(t, v.device.Detach(ctx))
	})
}

func TestUnmountLeavesWhatIsInUse(t *testing.T) {
	eachType(t, func(t *testing.T, v mounted) {
		open, err := os.Create(filepath.Join(v.target, "file"))
		must(t, err)
		if err := filesystem.Unmount(t.Context(), v.target); !errors.Is(err, filesystem.ErrMounted) {
			t.Errorf("got %v, want %v", err, filesystem.ErrMounted)
		}
		must(t, open.Close())
		must(t, filesystem.Unmount(t.Context(), v.target))
		must(t, filesystem.Unmount(t.Context(), v.target)) // again: a caller who is not sure
	})
}

func TestInterruptedMakeIsErasedOnlyOnDemand(t *testing.T) {
	a, _ := newAttacher(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	backend := memory.New(64 * mib)
	d := attach(t, a, backend)
	rest := aligned(block.Size)
	rest[0] = 1
	_, err := unix.Pwrite(openDirect(t, d.Path()), rest, 0)
	must(t, err)
	if err := filesystem.Make(t.Context(), d.Path(), filesystem.Ext4); !errors.Is(err, filesystem.ErrNotBlank) {
		t.Errorf("got %v, want %v", err, filesystem.ErrNotBlank)
	}
	must(t, filesystem.Erase(t.Context(), d.Path()))
	if !backend.Holds(0, make([]byte, 64*mib)) {
		t.Error("something is left")
	}
	must(t, filesystem.Make(t.Context(), d.Path(), filesystem.Ext4))
}
