// Package host may do what the rest of core may not.
package host

import (
	"os"
	"sync"
	"time"
)

// Body is here to be imported.
const Body = 1

// Run runs.
func Run(wait map[string]chan int) {
	var mu sync.Mutex
	for _, c := range wait {
		go func() { mu.Lock(); c <- time.Now().Second() + os.Getpid() }()
	}
}
