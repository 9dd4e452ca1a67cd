package daemon

import (
	"net"
	"sync"
)

// bounded is a listener with at most so many connections as it has places. (The
// one of x/net/netutil hides that a connection can be closed for writing alone,
// without which net/http loses its answers to requests that it does not read to
// their end.)
type bounded struct {
	net.Listener
	places chan struct{}
	once   sync.Once
	closed chan struct{}
}

func newBounded(l net.Listener) *bounded {
	return &bounded{Listener: l, places: make(chan struct{}, connectionsMax), closed: make(chan struct{})}
}

// Accept implements net.Listener: it waits for a place, too.
func (l *bounded) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &boundedConn{Conn: c, leave: func() { <-l.places }}, nil
}

// Close implements net.Listener.
func (l *bounded) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}

// CloseWrite closes the connection for writing alone, if it can be.
func (c *boundedConn) CloseWrite() error {
	if half, can := c.Conn.(interface{ CloseWrite() error }); can {
		return half.CloseWrite()
	}
	return nil
}
