package fuse_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/fuse"
	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/filesystem"
	"github.com/lagan-storage/lagan/plugin/require"
)

// hangWriter starts a program that writes and syncs to the file, and returns
// when its write is stuck in the backend.
func hangWriter(t *testing.T, backend *memory.Volume, file string) *exec.Cmd {
	t.Helper()
	backend.Hang()
	writer := exec.CommandContext(t.Context(), "dd", "if=/dev/zero", "of="+file, "bs=64k", "count=64", "oflag=direct", "conv=fsync")
	must(t, writer.Start())
	<-backend.Hung
	return writer
}

// claimed reports whether a file system holds the device.
func claimed(t *testing.T, path string) bool {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		return true
	}
	must(t, err)
	must(t, unix.Close(fd))
	return false
}

func TestAbortFreesEverybodyFromAHangingBackend(t *testing.T) {
	a, dir := newAttacher(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	backend, target := memory.New(64*mib), filepath.Join(t.TempDir(), "mount")
	d := attach(t, a, backend)
	must(t, filesystem.Make(t.Context(), d.Path(), filesystem.Ext4))
	must(t, filesystem.Mount(t.Context(), d.Path(), target, filesystem.Ext4))
	writer := hangWriter(t, backend, filepath.Join(target, "file"))

	must(t, d.Abort())

	if err := writer.Wait(); err == nil { // it would be in D state for ever
		t.Error("the write of an aborted device went well")
	}
	if mountedAt(t, target) || mountedAt(t, filepath.Join(dir, volumeOf(backend).ID.String())) {
		t.Error("something is still mounted")
	}
	if claimed(t, d.Path()) {
		t.Error("the loop device is still in use")
	}
	if backend.Answer(device.ErrGone) == 0 { // late completions find nobody, and hurt nobody
		t.Error("nothing was in flight")
	}
	must(t, attach(t, a, backend).Detach(t.Context()))
}

func TestAbortEndsADetachThatHangs(t *testing.T) {
	a, _ := newAttacher(t)
	backend := memory.New(16 * mib)
	d := attach(t, a, backend)
	backend.Hang()
	ended := make(chan error, 1)
	go func() { ended <- d.Detach(context.WithoutCancel(t.Context())) }()
	<-backend.Hung // the flush
	must(t, d.Abort())
	if err := <-ended; err == nil {
		t.Error("the detach claims that it flushed")
	}
	backend.Answer(device.ErrGone)
}

func TestDetachReturnsWithItsContext(t *testing.T) {
	a, _ := newAttacher(t)
	backend := memory.New(16 * mib)
	d := attach(t, a, backend)
	backend.Hang()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-backend.Hung
		cancel()
	}()
	if err := d.Detach(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	must(t, d.Abort())
	backend.Answer(device.ErrGone)
}

func TestAbortLeavesOtherDevicesOfTheMachineAlone(t *testing.T) {
	a, _ := newAttacher(t)
	b, _ := newAttacher(t)
	mine, others := memory.New(16*mib), memory.New(16*mib)
	d, other := attach(t, a, mine), attach(t, b, others)
	fd := openDirect(t, other.Path())
	must(t, d.Abort())
	if _, err := unix.Pwrite(fd, aligned(mib), 0); err != nil {
		t.Errorf("write to another daemon's device: %v", err)
	}
}

// serverDir names, in the environment of a child, the directory in which this
// test binary serves a device until it is killed.
const serverDir = "LAGAN_TEST_FUSE_SERVER"

// serverHangs, set in that environment, makes the server say when it got its
// first request, and answer none.
const serverHangs = "LAGAN_TEST_FUSE_HANGS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serverDir); dir != "" {
		serveUntilKilled(dir)
	}
	os.Exit(m.Run())
}

func serveUntilKilled(dir string) {
	a, err := fuse.New(fuse.Params{Dir: dir, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	backend := memory.New(64 * mib)
	if err == nil {
		var d device.Device
		if d, err = a.Attach(context.Background(), volumeOf(backend), backend); err == nil {
			if os.Getenv(serverHangs) != "" {
				backend.Hang()
			}
			_, err = os.Stdout.WriteString(d.Path() + "\n")
		}
	}
	if err != nil {
		panic(err)
	}
	<-backend.Hung
	_, _ = os.Stdout.WriteString("hung\n")
	select {} // SIGKILL is the only way out
}

// startServer runs a server in a process of its own.
func startServer(t *testing.T, dir string, environment ...string) (server *exec.Cmd, path string, lines *bufio.Reader) {
	t.Helper()
	server = exec.CommandContext(t.Context(), os.Args[0])
	server.Env = append(append(os.Environ(), serverDir+"="+dir), environment...)
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	must(t, err)
	must(t, server.Start())
	t.Cleanup(func() { kill(server) })
	lines = bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	must(t, err)
	return server, strings.TrimSpace(line), lines
}

func kill(server *exec.Cmd) {
	_ = server.Process.Kill()
	_ = server.Wait() // says "signal: killed"
}

func TestCleanupRemovesWhatAKilledServerLeft(t *testing.T) {
	a, _ := newAttacher(t) // in this process: must not be touched
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	bystander := memory.New(16 * mib)
	fd := openDirect(t, attach(t, a, bystander).Path())

	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "mount")
	server, path, _ := startServer(t, dir)
	must(t, filesystem.Make(t.Context(), path, filesystem.Ext4))
	must(t, filesystem.Mount(t.Context(), path, target, filesystem.Ext4))
	must(t, os.WriteFile(filepath.Join(target, "file"), make([]byte, mib), 0o600))
	kill(server)

	cleaned, err := fuse.Cleanup(t.Context(), dir)
	must(t, err)
	if len(cleaned) != 1 || !slices.Equal(cleaned[0].Devices, []string{path}) || !slices.Equal(cleaned[0].Mounts, []string{target}) || cleaned[0].InUse {
		t.Errorf("cleaned %+v, want %s at %s and nobody using it", cleaned, path, target)
	}
	if mountedAt(t, target) {
		t.Errorf("%s is still mounted", target)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left in the directory: %v %v", entries, err)
	}
	if cleaned, err := fuse.Cleanup(t.Context(), dir); err != nil || len(cleaned) > 0 {
		t.Errorf("a second cleanup found %+v %v", cleaned, err)
	}
	if _, err := unix.Pwrite(fd, aligned(mib), 0); err != nil {
		t.Errorf("write to another daemon's device: %v", err)
	}
	_, again, _ := startServer(t, dir) // the directory serves again
	if _, err := unix.Pread(openDirect(t, again), aligned(block.Size), 0); err != nil {
		t.Errorf("read of the next server's device: %v", err)
	}
	t.Cleanup(func() { // before the server dies, after the descriptor
		if _, err := fuse.Cleanup(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
}

func TestCleanupSaysWhoseContainerMustRestart(t *testing.T) {
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "mount")
	server, path, _ := startServer(t, dir)
	must(t, filesystem.Make(t.Context(), path, filesystem.Ext4))
	must(t, filesystem.Mount(t.Context(), path, target, filesystem.Ext4))
	open, err := os.Create(filepath.Join(target, "file"))
	must(t, err)
	kill(server)

	cleaned, err := fuse.Cleanup(t.Context(), dir)
	must(t, err)
	if len(cleaned) != 1 || !cleaned[0].InUse {
		t.Errorf("cleaned %+v, want it in use", cleaned)
	}
	_ = open.Close() // the file system is dead
	if claimed(t, path) {
		t.Error("the dead file system outlives its last user")
	}
}

func TestCleanupOfAHungServerDoesNotHang(t *testing.T) {
	require.FUSE(t)
	dir := t.TempDir()
	server, path, lines := startServer(t, dir, serverHangs+"=1")
	reader := exec.CommandContext(t.Context(), "dd", "if="+path, "of=/dev/null", "iflag=direct", "bs=4k", "count=1")
	must(t, reader.Start())
	_, err := lines.ReadString('\n')
	must(t, err)
	must(t, server.Process.Signal(unix.SIGSTOP)) // now it does not even answer what needs no backend
	cleaned, err := fuse.Cleanup(t.Context(), dir)
	must(t, err)
	if len(cleaned) != 1 || !slices.Equal(cleaned[0].Devices, []string{path}) {
		t.Errorf("cleaned %+v, want %s", cleaned, path)
	}
	if err := reader.Wait(); err == nil {
		t.Error("the read went well")
	}
}
