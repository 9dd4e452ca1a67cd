package nbd

import (
	"errors"
	"fmt"
)

// sendsMax is how many batches whoever finished a request sends before the writer
// goes on: it has other things to do.
const sendsMax = 4

// finish has the reply of an operation sent: by whoever sends already, or is about
// to, else by the caller as far as that does not wait.
func (c *connection) finish(op *operation) {
	c.mu.Lock()
	if c.ended != nil {
		c.mu.Unlock()
		c.release(op)
		return
	}
	c.finished = append(c.finished, op)
	mine := !c.sending
	c.sending = true
	c.mu.Unlock()
	if mine {
		c.send()
	}
}

// gather keeps others from sending, so that replies gather; gathering says whether
// they do already. It reports whether they do now: they do not while another sends.
func (c *connection) gather(gathering bool) bool {
	c.mu.Lock()
	if !gathering {
		gathering = !c.sending
		c.sending = true
		c.mu.Unlock()
		return gathering
	}
	enough := len(c.finished) >= gatheredMax
	c.mu.Unlock()
	if enough {
		c.send()
		return c.gather(false)
	}
	return true
}

// stopGathering sends what has gathered.
func (c *connection) stopGathering(gathering bool) {
	if gathering {
		c.send()
	}
}

// send sends what is finished, without waiting: what the socket does not take, or
// is finished meanwhile for too long, is left to the writer. The sender is the
// caller's before, and not after.
func (c *connection) send() {
	for range sendsMax {
		if !c.load() {
			return
		}
		sent, err := c.sender.try()
		if err != nil {
			c.end(err)
			c.discard()
			return
		}
		if !sent {
			break
		}
		c.unload()
	}
	c.hand()
}

// load takes what is finished as the next batch. Without any, or after the end, the
// sender is nobody's from then on.
func (c *connection) load() bool {
	c.mu.Lock()
	if c.ended != nil {
		c.mu.Unlock()
		c.discard()
		return false
	}
	defer c.mu.Unlock()
	if len(c.finished) == 0 {
		c.sending = false
		return false
	}
	c.finished = c.sender.load(c.finished)
	return true
}

// unload takes back what was sent.
func (c *connection) unload() { c.release(c.sender.unload()...) }

// hand leaves the sender to the writer.
func (c *connection) hand() {
	c.mu.Lock()
	if c.ended == nil {
		c.handed <- struct{}{} // has room: there is one sender
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.discard()
}

// discard ends the sending after the end of the connection.
func (c *connection) discard() {
	c.unload()
	c.mu.Lock()
	left := c.finished
	c.finished, c.sending = nil, false
	c.mu.Unlock()
	c.release(left...)
}

// write sends what others could not, and may wait for the client, until nothing is
// read any more.
func (c *connection) write() {
	for {
		select {
		case <-c.handed:
			c.writeAll()
		case <-c.readerEnd:
			select {
			case <-c.handed:
				c.discard()
			default:
			}
			return
		}
	}
}

func (c *connection) writeAll() {
	for {
		if err := c.sender.wait(); err != nil {
			c.end(notTaken(err))
			c.discard()
			return
		}
		c.unload()
		if !c.load() {
			return
		}
	}
}

func notTaken(err error) error {
	var slow interface{ Timeout() bool }
	if errors.As(err, &slow) && slow.Timeout() {
		return fmt.Errorf("it took no byte of its replies for %v", writeWithin)
	}
	return fmt.Errorf("send replies: %w", err)
}
