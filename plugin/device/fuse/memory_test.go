package fuse_test

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/lagan-storage/lagan/plugin/device"
)

// memory is a volume in memory. It completes inline, until told to hang.
type memory struct {
	bytes                         sync.RWMutex // the kernel orders requests, but the race detector cannot see that
	data                          []byte
	reads, writes, flushes, zeros atomic.Int64
	fail                          atomic.Pointer[error] // what to complete with

	mu      sync.Mutex
	hanging bool
	held    []*device.Request
	hung    chan struct{} // gets a value with every request that is held
}

func newMemory(size int64) *memory {
	return &memory{data: make([]byte, size), hung: make(chan struct{}, 1<<12)}
}

func (m *memory) Submit(r *device.Request) {
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
	m.data = append(m.data, make([]byte, size-int64(len(m.data)))...)
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
