package nbd

import (
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/nbd/wire"
)

// echo completes everything at once.
type echo struct{}

func (echo) Submit(r *device.Request) { r.Done(r, nil) }

// pair is a connection of two ends.
func pair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		if ends[i], err = net.FileConn(file); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return ends[0], ends[1]
}

// transmission is a connection past its haggling.
func transmission(t testing.TB, backend device.Backend) net.Conn {
	t.Helper()
	s := New(Params{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	e, err := s.Export(ExportParams{Name: "db", Size: func() int64 { return 1 << 30 }, Backend: backend})
	if err != nil {
		t.Fatal(err)
	}
	near, far := pair(t)
	c := newConnection(s, agreement{socket: near, conn: near, export: e, size: 1 << 30, structured: true}, s.log)
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.run(); err != nil {
			t.Error(err)
		}
		if c.underWay != 0 || c.bytes != 0 {
			t.Errorf("%d requests of %d bytes are still under way", c.underWay, c.bytes)
		}
	})
	t.Cleanup(func() {
		_ = far.Close()
		running.Wait()
	})
	return far
}

func TestIOAllocatesNothing(t *testing.T) {
	client := transmission(t, echo{})
	read := wire.AppendRequest(nil, wire.Request{Command: wire.CmdRead, Length: block.Size})
	write := append(wire.AppendRequest(nil, wire.Request{Command: wire.CmdWrite, Length: block.Size}), make([]byte, block.Size)...)
	status := wire.AppendRequest(nil, wire.Request{Command: wire.CmdTrim, Length: block.Size})
	all := append(append(append([]byte(nil), read...), write...), status...)
	replies := make([]byte, 28+block.Size+20+20)
	allocated := testing.AllocsPerRun(2000, func() {
		if _, err := client.Write(all); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(client, replies); err != nil {
			t.Error(err)
		}
	})
	if allocated > 0 {
		t.Errorf("%v allocations for a read, a write and a trim", allocated)
	}
}

func TestRequestCompletedTwiceStopsTheMachine(t *testing.T) {
	op := &operation{connection: &connection{}}
	defer func() {
		if recover() == nil {
			t.Error("a second completion went unnoticed")
		}
	}()
	op.done(nil, nil)
}

// FuzzConnection has a connection read anything for requests: it may end, and must
// neither panic nor keep a request.
func FuzzConnection(f *testing.F) {
	f.Add(wire.AppendRequest(nil, wire.Request{Command: wire.CmdRead, Length: block.Size}))
	f.Add(append(wire.AppendRequest(nil, wire.Request{Command: wire.CmdWrite, Length: block.Size}), make([]byte, block.Size)...))
	f.Add(wire.AppendRequest(nil, wire.Request{Command: wire.CmdBlockStatus, Length: 1 << 20}))
	f.Add(wire.AppendRequest(nil, wire.Request{Command: wire.CmdDisconnect}))
	f.Fuzz(func(t *testing.T, said []byte) {
		s := New(Params{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		e, err := s.Export(ExportParams{Name: "db", Size: func() int64 { return 1 << 20 }, Backend: echo{}})
		if err != nil {
			t.Fatal(err)
		}
		near, far := pair(t)
		c := newConnection(s, agreement{socket: near, conn: near, export: e, size: 1 << 20, structured: true, allocation: true}, s.log)
		var running sync.WaitGroup
		running.Go(func() { _ = c.run() }) // how it ends is its own
		running.Go(func() { _, _ = io.Copy(io.Discard, far) })
		_, _ = far.Write(said) // it may have hung up
		_ = far.(*net.UnixConn).CloseWrite()
		running.Wait()
		if c.underWay != 0 || c.bytes != 0 {
			t.Errorf("%d requests of %d bytes are still under way", c.underWay, c.bytes)
		}
	})
}

// FuzzHaggling has a server haggle with anything.
func FuzzHaggling(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x03IHAVEOPT\x00\x00\x00\x07\x00\x00\x00\x08\x00\x00\x00\x02db\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x03IHAVEOPT\x00\x00\x00\x08\x00\x00\x00\x00IHAVEOPT\x00\x00\x00\x09\x00\x00\x00\x0a\x00\x00\x00\x02db\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x00IHAVEOPT\x00\x00\x00\x01\x00\x00\x00\x02db"))
	f.Fuzz(func(t *testing.T, said []byte) {
		s := New(Params{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		if _, err := s.Export(ExportParams{Name: "db", Size: func() int64 { return 1 << 30 }, Backend: echo{}}); err != nil {
			t.Fatal(err)
		}
		near, far := pair(t)
		var talking sync.WaitGroup
		talking.Go(func() { _, _ = io.Copy(io.Discard, far) })
		talking.Go(func() {
			_, _ = far.Write(said) // it may have hung up
			_ = far.(*net.UnixConn).CloseWrite()
		})
		if a, err := s.haggle(t.Context(), near, nil); err == nil && a.export == nil {
			t.Error("agreed on no export")
		}
		_ = near.Close()
		talking.Wait()
		_ = far.Close()
	})
}
