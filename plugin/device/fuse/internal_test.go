package fuse

import (
	"encoding/binary"
	"log/slog"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/slab"
)

func TestOnlyWholeBlocksWithinTheVolumeAreValid(t *testing.T) {
	const size = 64 << 20
	for e, want := range map[extent]bool{
		{0, 4096}: true, {0, size}: true, {size - 4096, 4096}: true,
		{0, 0}: false, {0, -4096}: false, {-4096, 4096}: false, {512, 4096}: false, {0, 512}: false,
		{size, 4096}: false, {size - 4096, 8192}: false,
		{4096, 1<<63 - 4096}: false, {1<<63 - 4096, 4096}: false, // sums overflow
	} {
		if got := e.valid(size); got != want {
			t.Errorf("%+v: %v, want %v", e, got, want)
		}
	}
}

func initRequest(major, minor, flags uint32) []byte {
	b := make([]byte, requestBytes)
	for i, v := range []uint32{major, minor, 128 << 10, flags} {
		binary.NativeEndian.PutUint32(b[headerBytes+4*i:], v)
	}
	return b
}

func TestKernelsThatAreTooOldAreRefused(t *testing.T) {
	for _, c := range []struct {
		major, minor, flags uint32
		fine                bool
	}{
		{7, 28, initWanted, true},
		{7, 45, ^uint32(0), true},
		{7, 27, initWanted, false},
		{8, 0, initWanted, false},
		{7, 31, initWanted &^ initAsyncDIO, false},
	} {
		out, _, err := negotiate(initRequest(c.major, c.minor, c.flags))
		if (err == nil) != c.fine {
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil && binary.NativeEndian.Uint32(out[12:]) != initWanted {
			t.Errorf("%+v: asked for flags %#x, want %#x", c, binary.NativeEndian.Uint32(out[12:]), initWanted)
		}
	}
}

func TestKernelIsAskedToAskAgainWhereItCan(t *testing.T) {
	for _, c := range []struct {
		flags, more uint32
		resends     bool
	}{
		{initWanted | initExtended, initHasResend | 1, true},
		{initWanted | initExtended, 1, false},
		{initWanted, initHasResend, false}, // the second word means nothing
	} {
		request := initRequest(7, 40, c.flags)
		binary.NativeEndian.PutUint32(request[headerBytes+16:], c.more)
		out, resends, err := negotiate(request)
		if err != nil || resends != c.resends {
			t.Errorf("%+v: %v, %v", c, resends, err)
		}
		if asked := binary.NativeEndian.Uint32(out[32:]) == initHasResend; asked != c.resends {
			t.Errorf("%+v: asked for flags %#x", c, binary.NativeEndian.Uint32(out[32:]))
		}
	}
}

// echo completes everything at once.
type echo struct{ requests int }

func (e *echo) Submit(r *device.Request) {
	e.requests++
	r.Done(r, nil)
}

// newLoopback is a connection to a kernel that takes every reply.
func newLoopback(t testing.TB, backend device.Backend) *connection {
	t.Helper()
	fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &connection{backend: backend, stock: slab.NewStock(slabsKeptMax), log: slog.New(slog.DiscardHandler), fd: fd}
	c.holders.Store(1)
	c.size.Store(1 << 30)
	t.Cleanup(c.release)
	return c
}

func transfer(op opcode, unique, offset uint64, length uint32) (b [requestBytes]byte) {
	binary.NativeEndian.PutUint32(b[4:], uint32(op))
	binary.NativeEndian.PutUint64(b[8:], unique)
	binary.NativeEndian.PutUint64(b[headerBytes+8:], offset)
	binary.NativeEndian.PutUint32(b[headerBytes+16:], length)
	return b
}

func TestIOAllocatesNothing(t *testing.T) {
	backend := &echo{}
	c := newLoopback(t, backend)
	r := &reader{arena: slab.NewArena(c.stock)}
	unique := uint64(0)
	const runs = 2000
	allocated := testing.AllocsPerRun(runs, func() {
		for _, op := range []opcode{opRead, opWrite} {
			if _, err := r.arena.Room(transferBytesMax); err != nil {
				t.Fatal(err)
			}
			unique++
			r.request = transfer(op, unique, unique*block.Size, block.Size)
			c.dispatch(r, requestBytes+block.Size)
		}
	})
	if allocated > 0 {
		t.Errorf("%v allocations per read and write", allocated)
	}
	if backend.requests != 2*(runs+1) {
		t.Errorf("%d requests arrived, want %d", backend.requests, 2*(runs+1))
	}
	r.arena.Close()
	if n := c.stock.Kept(); n != 2 { // one is taken before the other is given back
		t.Errorf("%d slabs came back of the 2 that took turns", n)
	}
}

func TestWriteThatDoesNotCarryItsLengthIsRefused(t *testing.T) {
	backend := &echo{}
	c := newLoopback(t, backend)
	r := &reader{arena: slab.NewArena(c.stock)}
	if _, err := r.arena.Room(transferBytesMax); err != nil {
		t.Fatal(err)
	}
	r.request = transfer(opWrite, 1, 0, 2*block.Size)
	c.dispatch(r, requestBytes+block.Size)
	if backend.requests > 0 {
		t.Error("the rest of the buffer went to the backend")
	}
	r.arena.Close()
}

func TestRequestCompletedTwiceStopsTheMachine(t *testing.T) {
	backend := &echo{}
	c := newLoopback(t, backend)
	c.submit(header{unique: 1}, device.Flush, extent{}, block.Buffer{})
	op := c.operations.take()
	defer func() {
		if recover() == nil {
			t.Error("a second completion went unnoticed")
		}
	}()
	op.request.Done(&op.request, nil)
}
