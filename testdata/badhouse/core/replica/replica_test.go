package replica

import (
	"math/rand/v2"
	"testing"
	"time"

	"example.com/badhouse/core/host" // want "core/replica may not import core/host"
	"example.com/badhouse/core/node"
	"example.com/badhouse/plugin/require"
)

// Tests may be as random as they like.
func TestClock(t *testing.T) {
	require.Root(t)
	go order(nil, nil)
	for range map[int]int{rand.Int(): time.Now().Day()} {
		t.Log(node.Parts, host.Body)
	}
}
