package holder

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
)

// process is a holder that runs within the test.
type process struct {
	t       *testing.T
	socket  string
	grace   time.Duration
	removed chan struct{}
	ended   chan error
}

func newProcess(t *testing.T, grace time.Duration) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "holder-") //nolint:usetesting // the path of a socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &process{t: t, socket: filepath.Join(dir, "s"), grace: grace, removed: make(chan struct{}, 1), ended: make(chan error, 1)}
}

// start is what a Keeper calls.
func (p *process) start() error {
	ready := make(chan struct{})
	go func() {
		p.ended <- Run(context.Background(), Params{
			Socket: p.socket, Grace: p.grace, Ready: func() { close(ready) }, Log: slog.New(slog.DiscardHandler),
			Remove: func(context.Context) error { p.removed <- struct{}{}; return nil },
		})
	}()
	<-ready
	return nil
}

func (p *process) connect() (*Keeper, []device.Kept) {
	p.t.Helper()
	k, all, err := Connect(p.t.Context(), p.socket, p.start, time.Now)
	if err != nil {
		p.t.Fatal(err)
	}
	return k, all
}

func (p *process) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// file returns a file with a text, as a descriptor that can be told from others.
func (p *process) file(text string) *os.File {
	p.t.Helper()
	f, err := os.CreateTemp(p.t.TempDir(), "")
	p.must(err)
	_, err = f.WriteString(text)
	p.must(err)
	p.t.Cleanup(func() { _ = f.Close() })
	return f
}

func textOf(t *testing.T, descriptor int) string {
	t.Helper()
	f := os.NewFile(uintptr(descriptor), "")
	defer func() { _ = f.Close() }()
	text := make([]byte, 16)
	n, err := f.ReadAt(text, 0)
	if n == 0 {
		t.Fatal(err)
	}
	return string(text[:n])
}

func TestHolderStartsWithTheFirstDeviceAndEndsWithTheLast(t *testing.T) {
	p := newProcess(t, time.Hour)
	k, all := p.connect()
	if len(all) > 0 {
		t.Fatalf("nobody held %v", all)
	}
	p.must(k.Forget(block.VolumeID{1})) // nothing was started for that
	p.must(k.Keep(block.VolumeID{1}, []byte("one"), int(p.file("a").Fd())))
	p.must(k.Forget(block.VolumeID{1}))
	p.must(k.Close())
	p.must(<-p.ended)
	if _, err := os.Stat(p.socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestHolderKeepsTheNewestRecordAndTheDescriptors(t *testing.T) {
	p := newProcess(t, time.Hour)
	k, _ := p.connect()
	p.must(k.Keep(block.VolumeID{1}, []byte("old"), int(p.file("a").Fd()), int(p.file("b").Fd())))
	p.must(k.Keep(block.VolumeID{1}, []byte("new")))
	p.must(k.Keep(block.VolumeID{2}, []byte("two"), int(p.file("c").Fd())))
	if err := k.Keep(block.VolumeID{3}, []byte("three")); err == nil {
		t.Error("a device without descriptors was kept")
	}
	all, err := k.take(t.Context())
	p.must(err)
	slices.SortFunc(all, func(a, b device.Kept) int { return slices.Compare(a.Volume[:], b.Volume[:]) })
	if len(all) != 2 || string(all[0].Record) != "new" || len(all[0].Descriptors) != 2 || len(all[1].Descriptors) != 1 {
		t.Fatalf("kept is %v", all)
	}
	for i, want := range []string{"a", "b"} {
		if got := textOf(t, all[0].Descriptors[i]); got != want {
			t.Errorf("descriptor %d is that of %q, want %q", i, got, want)
		}
	}
	if got := textOf(t, all[1].Descriptors[0]); got != "c" {
		t.Errorf("the other device's is that of %q", got)
	}
	p.must(k.Forget(block.VolumeID{1}))
	p.must(k.Forget(block.VolumeID{2}))
	p.must(k.Close())
	p.must(<-p.ended)
}

// TestHolderThatHasJustEndedIsNoHolder: a daemon that starts at that moment starts.
func TestHolderThatHasJustEndedIsNoHolder(t *testing.T) {
	p := newProcess(t, time.Hour)
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: p.socket, Net: "unixpacket"})
	p.must(err)
	go func() {
		c, err := l.AcceptUnix()
		if err == nil {
			_ = c.Close()
		}
		_ = l.Close()
	}()
	k, all := p.connect()
	if len(all) > 0 {
		t.Errorf("nobody held %v", all)
	}
	p.must(k.Keep(block.VolumeID{1}, []byte("one"), int(p.file("a").Fd())))
	p.must(k.Forget(block.VolumeID{1}))
	p.must(k.Close())
	p.must(<-p.ended)
}
