package conformance

import (
	"fmt"
	"sync"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
)

// recorder is a Handler that remembers what it heard and can be waited for.
type recorder struct {
	onMessage func(c transport.Conn, m *message.Message) // may be nil
	onBatch   func(c transport.Conn)                     // may be nil

	mu        sync.Mutex
	changed   sync.Cond
	conn      transport.Conn
	connected int
	messages  []message.Message // payloads released, see data
	data      [][]byte
	undone    int // messages since the last BatchEnd
	closed    []step.ConnError
	wrong     []string // broken promises
}

func newRecorder() *recorder {
	r := &recorder{}
	r.changed.L = &r.mu
	return r
}

func (r *recorder) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.closed) > 0 {
		r.wrong = append(r.wrong, "a call after Closed")
	}
	f()
	r.changed.Broadcast()
}

// Connected implements transport.Handler.
func (r *recorder) Connected(c transport.Conn) {
	r.note(func() { r.connected, r.conn = r.connected+1, c })
}

// Message implements transport.Handler.
func (r *recorder) Message(c transport.Conn, m *message.Message) {
	if r.onMessage != nil {
		r.onMessage(c, m)
	}
	kept := *m
	kept.Payload = block.Buffer{}
	data := append([]byte(nil), m.Payload.Bytes()...)
	m.Payload.Release()
	r.note(func() {
		r.messages, r.data = append(r.messages, kept), append(r.data, data)
		r.undone++
	})
}

// BatchEnd implements transport.Handler.
func (r *recorder) BatchEnd(c transport.Conn) {
	if r.onBatch != nil {
		r.onBatch(c)
	}
	r.note(func() {
		if r.undone == 0 {
			r.wrong = append(r.wrong, "a BatchEnd without a Message before it")
		}
		r.undone = 0
	})
}

// Closed implements transport.Handler.
func (r *recorder) Closed(_ transport.Conn, why step.ConnError) {
	r.note(func() {
		if r.undone > 0 {
			r.wrong = append(r.wrong, "no BatchEnd after the last Message")
		}
		r.closed = append(r.closed, why)
	})
}

// wait blocks until holds, which is called with mu held.
func (r *recorder) wait(holds func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !holds() {
		r.changed.Wait()
	}
}

// waitConnected returns the connection, or nil if the dial ended without one.
func (r *recorder) waitConnected() (c transport.Conn) {
	r.wait(func() bool { c = r.conn; return c != nil || len(r.closed) > 0 })
	return c
}

// waitClosed returns the reason of the end.
func (r *recorder) waitClosed() step.ConnError {
	r.wait(func() bool { return len(r.closed) > 0 })
	return r.closed[0]
}

// waitMessages waits for n messages, each batch of them ended.
func (r *recorder) waitMessages(n int) {
	r.wait(func() bool { return len(r.messages) >= n && r.undone == 0 || len(r.closed) > 0 })
}

// check reports broken promises.
func (r *recorder) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wrong {
		t.Errorf("the handler heard %s", w)
	}
	if r.connected > 1 {
		t.Errorf("connected %d times", r.connected)
	}
	if len(r.closed) > 1 {
		t.Errorf("closed %d times", len(r.closed))
	}
}

// acceptor takes every peer, each with a recorder of its own.
type acceptor struct {
	prepare func(c transport.Conn, r *recorder) error // may be nil; an error denies

	mu      sync.Mutex
	changed sync.Cond
	hellos  []message.Hello
	peers   []*recorder
}

func newAcceptor(prepare func(c transport.Conn, r *recorder) error) *acceptor {
	a := &acceptor{prepare: prepare}
	a.changed.L = &a.mu
	return a
}

// Accept implements transport.Acceptor.
func (a *acceptor) Accept(c transport.Conn, h message.Hello) (transport.Handler, error) {
	r := newRecorder()
	r.conn = c
	if a.prepare != nil {
		if err := a.prepare(c, r); err != nil {
			return nil, fmt.Errorf("accept: %w", err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hellos, a.peers = append(a.hellos, h), append(a.peers, r)
	a.changed.Broadcast()
	return r, nil
}

// peer waits for the first accepted connection.
func (a *acceptor) peer() *recorder {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.peers) == 0 {
		a.changed.Wait()
	}
	return a.peers[0]
}
