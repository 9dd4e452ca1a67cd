package host

import (
	"sync"

	"github.com/lagan-storage/lagan/core/step"
)

// controls passes controls between shards in the order in which they were
// emitted, one at a time, so that no shard's lock is taken under another's.
type controls struct {
	handOn func(*step.Control)

	mu      sync.Mutex // guards what follows
	queue   []step.Control
	passing bool
}

// pass queues list and hands on what is queued, unless somebody does already.
func (c *controls) pass(list []step.Control) {
	if len(list) == 0 {
		return
	}
	c.mu.Lock()
	c.queue = append(c.queue, list...)
	if c.passing {
		c.mu.Unlock()
		return
	}
	c.passing = true
	for len(c.queue) > 0 {
		batch := c.queue
		c.queue = nil
		c.mu.Unlock()
		for i := range batch {
			c.handOn(&batch[i])
		}
		c.mu.Lock()
	}
	c.passing = false
	c.mu.Unlock()
}
