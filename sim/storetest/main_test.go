package storetest

import (
	"os"
	"runtime/debug"
	"testing"
)

// gcPercent lets the heap of these tests, which is a few MiB, grow to some hundred:
// collected as often as is usual, half of their time went into that.
const gcPercent = 3000

func TestMain(m *testing.M) {
	debug.SetGCPercent(gcPercent)
	os.Exit(m.Run())
}
