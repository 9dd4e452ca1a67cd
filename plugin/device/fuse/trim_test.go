package fuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/require"
)

// Every way to say that blocks are not needed, or zero, makes them zeroes, and
// only them; none of them is sent as data.
func TestTrimsReachTheBackendAsZeroes(t *testing.T) {
	const size = 64 * mib
	for name, trim := range map[string]func(t *testing.T, disk, file string, offset, length int64){ // any order: each has a device of its own
		"BLKDISCARD": func(t *testing.T, disk, _ string, offset, length int64) {
			run(t, "blkdiscard", "--offset", fmt.Sprint(offset), "--length", fmt.Sprint(length), disk)
		},
		"BLKZEROOUT": func(t *testing.T, disk, _ string, offset, length int64) {
			run(t, "blkdiscard", "--zeroout", "--offset", fmt.Sprint(offset), "--length", fmt.Sprint(length), disk)
		},
		"punched hole of the device": func(t *testing.T, disk, _ string, offset, length int64) {
			must(t, unix.Fallocate(openDirect(t, disk), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length))
		},
		"punched hole": func(t *testing.T, _, file string, offset, length int64) {
			must(t, unix.Fallocate(openDirect(t, file), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length))
		},
		"range of zeroes": func(t *testing.T, _, file string, offset, length int64) {
			must(t, unix.Fallocate(openDirect(t, file), unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, offset, length))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, dir := newAttacher(t)
			require.Program(t, "blkdiscard", "util-linux")
			backend := memory.New(size)
			d := attach(t, a, backend)
			want := bytes.Repeat([]byte{0xa5}, size)
			copy(backend.Data(), want)
			const offset, length = 3*block.Size + mib, 33*mib + 5*block.Size
			trim(t, d.Path(), filepath.Join(dir, volumeOf(backend).ID.String()), offset, length)
			clear(want[offset : offset+length])
			if !backend.Holds(0, want) {
				t.Error("other bytes are zero than those that were trimmed")
			}
			if backend.Zeroes.Load() == 0 || backend.Writes.Load() > 0 {
				t.Errorf("%d zeroes and %d writes arrived", backend.Zeroes.Load(), backend.Writes.Load())
			}
		})
	}
}

// A range that is not of whole blocks is refused, as by every disk: rounding it
// would leave what was asked to be zero, or zero what was not.
func TestTrimsOfPartsOfBlocksAreRefused(t *testing.T) {
	a, dir := newAttacher(t)
	backend := memory.New(16 * mib)
	d := attach(t, a, backend)
	for _, name := range []string{d.Path(), filepath.Join(dir, volumeOf(backend).ID.String())} {
		fd := openDirect(t, name)
		for _, r := range [][2]int64{{512, 4096}, {0, 4096 + 512}, {4095, 2}} {
			err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, r[0], r[1])
			if !errors.Is(err, unix.EINVAL) {
				t.Errorf("%s: %d bytes at %d: %v, want %v", name, r[1], r[0], err, unix.EINVAL)
			}
		}
	}
	if backend.Zeroes.Load() > 0 {
		t.Error("one arrived")
	}
}

func TestDeviceOffersTrimsOfAnyLength(t *testing.T) {
	a, _ := newAttacher(t)
	d := attach(t, a, memory.New(16*mib))
	for attribute, least := range map[string]int64{"discard_max_bytes": 1 << 30, "write_zeroes_max_bytes": 1 << 30, "discard_granularity": block.Size} { // any order: each is looked at alone
		text, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(d.Path()), "queue", attribute))
		must(t, err)
		var got int64
		if _, err := fmt.Sscan(strings.TrimSpace(string(text)), &got); err != nil || got < least {
			t.Errorf("%s is %q, want at least %d", attribute, text, least)
		}
	}
}

// mkfs discards the whole device first, unless it is told not to.
func TestFileSystemMakersDiscardTheDevice(t *testing.T) {
	a, _ := newAttacher(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	backend := memory.New(64 * mib)
	d := attach(t, a, backend)
	for i := range backend.Data() {
		backend.Data()[i] = 0xa5
	}
	run(t, "mkfs.ext4", "-q", "-F", d.Path())
	if n := bytes.Count(backend.Data(), bytes.Repeat([]byte{0xa5}, block.Size)); n > 0 {
		t.Errorf("%d blocks are as they were", n)
	}
}
