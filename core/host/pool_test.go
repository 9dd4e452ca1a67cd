//go:build !race

package host

import "testing"

// The race detector makes a sync.Pool drop what it is given now and then.
func TestPoolAllocatesNothingForWhatItGotBack(t *testing.T) {
	p := NewPool()
	if n := testing.AllocsPerRun(100, func() { p.Get(65536).Release() }); n > 0.1 {
		t.Fatalf("a buffer costs %v allocations", n)
	}
}
