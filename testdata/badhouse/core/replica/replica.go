// Package replica breaks the rules of determinism one by one.
package replica

import (
	"crypto/rand" // want "core may not import crypto/rand"
	"fmt"
	"maps"
	mathrand "math/rand/v2" // want "core may not import math/rand/v2"
	"net"                   // want "core may not import net"
	"os"                    // want "core may not import os"
	"slices"
	"sync"        // want "core may not import sync"
	"sync/atomic" // want "core may not import sync/atomic"
	"syscall"     // want "core may not import syscall"
	"time"
)

type set map[int]bool

var (
	_ sync.Mutex
	_ atomic.Int32
	_ net.Addr
	_ = os.Args
	_ = mathrand.Int
	_ = rand.Text
	_ = syscall.Getpid
)

func concurrency() {
	c := make(chan int) // want "channel in core"
	go concurrency()    // want "go statement in core"
	select {            // want "select in core"
	case v := <-c: // want "receive from a channel in core"
		c <- v // want "send on a channel in core"
	}
	for range c { // want "range over a channel"
	}
}

func order(m map[string]int, s set) {
	for range s { // want "range over a map"
	}
	for range m { // any order: nothing is done with them
	}
	for range m { // any order: // want "range over a map"
	}
	for range slices.Sorted(maps.Keys(m)) {
	}
}

func collected(m map[string]int, sorted []string) []string {
	for range maps.Values(m) { // want "maps.Values outside slices.Sorted"
	}
	for range sorted {
	}
	return slices.Collect(maps.Keys(m)) // want "maps.Keys outside slices.Sorted"
}

func generic[M ~map[int]V, V any](m M) {
	for range m { // want "range over a map"
	}
}

func clock(then time.Time) {
	now := time.Now           // want "time.Now in core"
	<-time.After(time.Second) // want "time.After in core" "receive from a channel in core"
	fmt.Println(now())        // want "fmt.Println in core"
	println(then.After(then)) // want "println in core"
}
