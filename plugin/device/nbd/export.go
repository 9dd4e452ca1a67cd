package nbd

import (
	"errors"
	"fmt"
	"sync"

	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/nbd/wire"
)

// errClosed ends the connections of an export that is closed.
var errClosed = errors.New("the volume is not exported here any more")

// ExportParams says what is exported.
type ExportParams struct {
	Name        string
	Description string       // for people
	Size        func() int64 // bytes, a multiple of block.Size; may rise, which new clients see
	ReadOnly    bool
	Backend     device.Backend
}

// Export is one volume, or a snapshot of one, that clients can use.
//
//	[ open ] ── Close, nobody connected or by force ──▶ [ closed ]
type Export struct {
	ExportParams
	name   string
	server *Server

	mu          sync.Mutex // guards what follows
	connections map[*connection]struct{}
	closed      bool
	left        sync.Cond // when a connection has left
}

func newExport(s *Server, p ExportParams) *Export {
	e := &Export{ExportParams: p, name: p.Name, server: s, connections: map[*connection]struct{}{}}
	e.left.L = &e.mu
	return e
}

// flags says what can be asked of the export.
func (e *Export) flags(structured bool) wire.TransmissionFlags {
	flags := wire.HasFlags | wire.CanFlush | wire.CanMultiConn
	if structured {
		flags |= wire.CanDF
	}
	if e.ReadOnly {
		return flags | wire.ReadOnly
	}
	return flags | wire.CanFUA | wire.CanTrim | wire.CanZero | wire.CanFastZero
}

// Clients returns how many connections there are.
func (e *Export) Clients() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.connections)
}

// enter takes a connection in, unless the export is closed.
func (e *Export) enter(c *connection) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.connections[c] = struct{}{}
	return true
}

func (e *Export) leave(c *connection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.connections, c)
	e.left.Broadcast()
}

// Close ends the export. While clients are connected it returns device.ErrBusy and
// nothing has changed; with force their connections end in the middle. When it has
// returned, the backend is called no more. It may be called again.
func (e *Export) Close(force bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.connections); n > 0 && !force {
		return fmt.Errorf("%w: connections of NBD clients to %q: %d", device.ErrBusy, e.name, n)
	}
	e.closed = true
	e.server.remove(e)
	for c := range e.connections { // any order: all of them
		c.end(errClosed)
	}
	for len(e.connections) > 0 {
		e.left.Wait()
	}
	return nil
}
