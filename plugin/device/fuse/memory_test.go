package fuse_test

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
)

// memory is a volume in memory. It completes inline, until told to hang.
type memory struct {
	bytes                         sync.RWMutex // guards data against growing
	data                          []byte
	reads, writes, flushes, zeros atomic.Int64
	fail                          atomic.Pointer[error] // what to complete with

	mu      sync.Mutex
	hanging bool
	held    []*device.Request
	hung    chan struct{} // gets a value with every request that is held
}

// newMemory maps the volume and as much again to grow into. It stays mapped: a
// request may come late. The heap would cost the race detector seconds.
func newMemory(size int64) *memory {
	data, err := unix.Mmap(-1, 0, int(2*size)+block.Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		panic(err)
	}
	return &memory{data: data[:size], hung: make(chan struct{}, 1<<12)}
}

// promised panics if the driver breaks the contract of a request.
func (m *memory) promised(r *device.Request) {
	aligned := func(v int64) bool { return v%block.Size == 0 }
	payload := r.Kind == device.Read || r.Kind == device.Write
	switch {
	case !aligned(r.Offset), !aligned(r.Length), r.Offset < 0, r.Offset+r.Length > m.size():
		panic(fmt.Sprintf("%s of bytes %d+%d", r.Kind, r.Offset, r.Length))
	case payload != (r.Length == int64(r.Buffer.Len()) && r.Length > 0):
		panic(fmt.Sprintf("%s of %d bytes in a buffer of %d", r.Kind, r.Length, r.Buffer.Len()))
	case payload && !aligned(int64(uintptr(unsafe.Pointer(&r.Buffer.Bytes()[0])))):
		panic(fmt.Sprintf("%s with memory that is not aligned", r.Kind))
	}
}

func (m *memory) size() int64 {
	m.bytes.RLock()
	defer m.bytes.RUnlock()
	return int64(len(m.data))
}

func (m *memory) Submit(r *device.Request) {
	m.promised(r)
	if m.hold(r) {
		return
	}
	if err := m.fail.Load(); err != nil {
		r.Done(r, *err)
		return
	}
	switch r.Kind {
	case device.Read:
		m.reads.Add(1)
		m.bytes.RLock()
		copy(r.Buffer.Bytes(), m.data[r.Offset:])
		m.bytes.RUnlock()
	case device.Write:
		m.writes.Add(1)
		m.bytes.Lock()
		copy(m.data[r.Offset:], r.Buffer.Bytes())
		m.bytes.Unlock()
	case device.Flush:
		m.flushes.Add(1)
	case device.Zero:
		m.zeros.Add(1)
		m.bytes.Lock()
		clear(m.data[r.Offset : r.Offset+r.Length])
		m.bytes.Unlock()
	}
	r.Done(r, nil)
}

// holds reports whether want is at offset.
func (m *memory) holds(offset int64, want []byte) bool {
	m.bytes.RLock()
	defer m.bytes.RUnlock()
	return bytes.Equal(m.data[offset:offset+int64(len(want))], want)
}

// grow adds zeroes at the end.
func (m *memory) grow(size int64) {
	m.bytes.Lock()
	defer m.bytes.Unlock()
	m.data = m.data[:size]
}

func (m *memory) hold(r *device.Request) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.hanging {
		return false
	}
	m.held = append(m.held, r)
	select {
	case m.hung <- struct{}{}:
	default:
	}
	return true
}

// hang makes the volume keep requests without an answer.
func (m *memory) hang() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hanging = true
}

// answer completes what is held with err, and goes on as before.
func (m *memory) answer(err error) (answered int) {
	m.mu.Lock()
	held := m.held
	m.held, m.hanging = nil, false
	m.mu.Unlock()
	for _, r := range held {
		r.Done(r, err)
	}
	return len(held)
}
