package tcp

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// vector writes many pieces of memory with one system call, and unlike
// net.Buffers it can be told not to wait.
type vector struct {
	raw   syscall.RawConn
	left  []syscall.Iovec // what is not written yet
	store []syscall.Iovec // the memory under left
	wait  bool
	err   error
	sent  *atomic.Uint64        // bytes are added there; may be nil
	try   func(fd uintptr) bool // attempt, bound once: no allocation a call
}

func newVector(raw syscall.RawConn) *vector {
	v := &vector{raw: raw, store: make([]syscall.Iovec, 0, 64)}
	v.try = v.attempt
	return v
}

// add appends a piece to what is to be written.
func (v *vector) add(data []byte) {
	if len(data) > 0 {
		v.store = append(v.store, syscall.Iovec{Base: &data[0]})
		v.store[len(v.store)-1].SetLen(len(data))
	}
}

// full reports whether one system call may not take another message, of a head
// and a payload.
func (v *vector) full() bool { return len(v.store) >= piecesMax-2 }

// begin makes everything added due to be written.
func (v *vector) begin() { v.left = v.store }

// write writes what is left. It reports false if that needs waiting and wait
// is not set; a later call goes on.
func (v *vector) write(wait bool) (bool, error) {
	if len(v.left) == 0 {
		return true, nil
	}
	v.wait, v.err = wait, nil
	if err := v.raw.Write(v.try); err != nil {
		return false, fmt.Errorf("write: %w", err)
	}
	if v.err != nil {
		return false, fmt.Errorf("write: %w", v.err)
	}
	if len(v.left) > 0 {
		return false, nil
	}
	clear(v.store) // the memory may go
	v.store, v.left = v.store[:0], nil
	return true, nil
}

// attempt is called by the runtime's poller with the socket: true means done.
func (v *vector) attempt(fd uintptr) bool {
	for len(v.left) > 0 {
		n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&v.left[0])), uintptr(len(v.left)))
		runtime.KeepAlive(v.store)
		switch {
		case errno == 0:
			v.advance(int(n))
			if v.sent != nil {
				v.sent.Add(uint64(n))
			}
		case errors.Is(errno, syscall.EINTR):
		case errors.Is(errno, syscall.EAGAIN):
			return !v.wait
		default:
			v.err = errno
			return true
		}
	}
	return true
}

// advance takes n written bytes off the front of left.
func (v *vector) advance(n int) {
	for n > 0 {
		first := &v.left[0]
		if size := int(first.Len); n >= size {
			n -= size
			v.left = v.left[1:]
			continue
		}
		first.Base = (*byte)(unsafe.Add(unsafe.Pointer(first.Base), n))
		first.SetLen(int(first.Len) - n)
		n = 0
	}
}
