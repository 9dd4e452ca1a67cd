// Package memory is a volume in memory behind the contract of a driver: for tests of
// drivers, which it holds to that contract, and for benches, where it is what costs
// nothing.
package memory

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

// Volume is a volume in memory. It completes inline, until told to hang.
type Volume struct {
	// How many of each it was asked for.
	Reads, Writes, Flushes, Zeroes atomic.Int64
	Fail                           atomic.Pointer[error] // what to complete with
	Hung                           chan struct{}         // gets a value with every request that is held

	bytes sync.RWMutex // guards data against growing
	data  []byte

	mu      sync.Mutex // guards what follows
	hanging bool
	held    []*device.Request
}

// hungMax is how many values Hung keeps: more than a driver has under way.
const hungMax = 1 << 12

// New maps a volume, and as much again to grow into. It stays mapped: a request may
// come late. The heap would cost the race detector seconds.
func New(size int64) *Volume {
	data, err := unix.Mmap(-1, 0, int(2*size)+block.Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		panic(err)
	}
	return &Volume{data: data[:size], Hung: make(chan struct{}, hungMax)}
}

// promised panics if the driver breaks the contract of a request.
func (v *Volume) promised(r *device.Request) {
	aligned := func(v int64) bool { return v%block.Size == 0 }
	payload := r.Kind == device.Read || r.Kind == device.Write
	switch {
	case !aligned(r.Offset), !aligned(r.Length), r.Offset < 0, r.Offset+r.Length > v.Size():
		panic(fmt.Sprintf("%s of bytes %d+%d", r.Kind, r.Offset, r.Length))
	case payload != (r.Length == int64(r.Buffer.Len()) && r.Length > 0):
		panic(fmt.Sprintf("%s of %d bytes in a buffer of %d", r.Kind, r.Length, r.Buffer.Len()))
	case payload && !aligned(int64(uintptr(unsafe.Pointer(&r.Buffer.Bytes()[0])))):
		panic(fmt.Sprintf("%s with memory that is not aligned", r.Kind))
	}
}

// Data returns the volume's memory: for who knows that no request is under way.
func (v *Volume) Data() []byte {
	v.bytes.RLock()
	defer v.bytes.RUnlock()
	return v.data
}

// Size returns the volume's size in bytes.
func (v *Volume) Size() int64 {
	v.bytes.RLock()
	defer v.bytes.RUnlock()
	return int64(len(v.data))
}

// Submit implements device.Backend.
func (v *Volume) Submit(r *device.Request) {
	v.promised(r)
	if v.hold(r) {
		return
	}
	if err := v.Fail.Load(); err != nil {
		r.Done(r, *err)
		return
	}
	switch r.Kind {
	case device.Read:
		v.Reads.Add(1)
		v.bytes.RLock()
		copy(r.Buffer.Bytes(), v.data[r.Offset:])
		v.bytes.RUnlock()
	case device.Write:
		v.Writes.Add(1)
		v.bytes.Lock()
		copy(v.data[r.Offset:], r.Buffer.Bytes())
		v.bytes.Unlock()
	case device.Flush:
		v.Flushes.Add(1)
	case device.Zero:
		v.Zeroes.Add(1)
		v.bytes.Lock()
		clear(v.data[r.Offset : r.Offset+r.Length])
		v.bytes.Unlock()
	case device.Map:
		v.find(r)
	}
	r.Done(r, nil)
}

// find fills the map of a request.
func (v *Volume) find(r *device.Request) {
	v.bytes.RLock()
	defer v.bytes.RUnlock()
	clear(r.Map)
	first := r.Offset / (block.Size * block.PerChunk)
	for at := r.Offset; at < r.Offset+r.Length; at += block.Size {
		if b := v.data[at : at+block.Size]; b[0] != 0 || !bytes.Equal(b[1:], b[:block.Size-1]) {
			n := at / block.Size
			r.Map[n/block.PerChunk-first] |= 1 << (n % block.PerChunk)
		}
	}
}

// Holds reports whether want is at offset.
func (v *Volume) Holds(offset int64, want []byte) bool {
	v.bytes.RLock()
	defer v.bytes.RUnlock()
	return bytes.Equal(v.data[offset:offset+int64(len(want))], want)
}

// Grow adds zeroes at the end.
func (v *Volume) Grow(size int64) {
	v.bytes.Lock()
	defer v.bytes.Unlock()
	v.data = v.data[:size]
}

// hold keeps a request if the volume hangs.
func (v *Volume) hold(r *device.Request) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.hanging {
		return false
	}
	v.held = append(v.held, r)
	select {
	case v.Hung <- struct{}{}:
	default:
	}
	return true
}

// Hang makes the volume keep requests without an answer.
func (v *Volume) Hang() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hanging = true
}

// Answer completes what is held with err, and goes on as before.
func (v *Volume) Answer(err error) (answered int) {
	v.mu.Lock()
	held := v.held
	v.held, v.hanging = nil, false
	v.mu.Unlock()
	for _, r := range held {
		r.Done(r, err)
	}
	return len(held)
}
