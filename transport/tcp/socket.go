package tcp

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// socket is a TCP connection read through a large buffer. Under TLS it also
// gathers what is to be written, because crypto/tls writes record by record.
type socket struct {
	*net.TCPConn
	closed atomic.Bool

	// Of the reading goroutine.
	buffer     []byte
	from, to   int            // what of buffer is not taken yet
	direct     int            // reads of at least this length may pass the buffer; 0: none
	beforeWait func()         // called before the network is asked for more; may be nil
	received   *atomic.Uint64 // bytes are added there; may be nil

	mu      sync.Mutex
	gather  bool   // written data goes to sealed
	sealed  []byte // encrypted and not handed out
	writing []byte // handed out by takeSealed
}

// newSocket sets c up; it is closed if that is not possible. (TCP_NODELAY is
// set already: package net does.) The buffer is small until open, when it is
// known that the peer is one of ours.
func newSocket(c *net.TCPConn) (*socket, error) {
	if err := setSilence(c); err != nil {
		_ = c.Close() // nothing was exchanged on it
		return nil, err
	}
	return &socket{TCPConn: c, buffer: make([]byte, greetingBuffer)}, nil
}

// setSilence lets the kernel give up on a peer that acknowledges nothing, or
// takes nothing, for silenceMax.
func setSilence(c *net.TCPConn) error {
	const tcpUserTimeout = 18 // TCP_USER_TIMEOUT of linux/tcp.h
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("set up connection: %w", err)
	}
	var failure error
	err = raw.Control(func(fd uintptr) {
		failure = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(silenceMax/time.Millisecond))
	})
	if err == nil {
		err = failure
	}
	if err != nil {
		return fmt.Errorf("set up connection: %w", err)
	}
	return nil
}

// open gives the socket its large buffer.
func (s *socket) open() {
	buffer := make([]byte, readBuffer)
	s.to = copy(buffer, s.buffer[s.from:s.to])
	s.from, s.buffer = 0, buffer
}

// Read takes from the buffer and fills it from the network when it is empty.
func (s *socket) Read(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, net.ErrClosed // rather than what was read before the end
	}
	if s.from == s.to {
		if s.beforeWait != nil {
			s.beforeWait()
		}
		if s.direct > 0 && len(p) >= s.direct {
			n, err := s.TCPConn.Read(p)
			s.count(n)
			return n, err
		}
		n, err := s.TCPConn.Read(s.buffer)
		s.count(n)
		if n == 0 {
			return 0, err
		}
		s.from, s.to = 0, n
	}
	n := copy(p, s.buffer[s.from:s.to])
	s.from += n
	return n, nil
}

func (s *socket) count(n int) {
	if s.received != nil && n > 0 {
		s.received.Add(uint64(n))
	}
}

// Write writes p, or keeps it for takeSealed once gathering has begun. Both
// the writer and, to answer the peer's TLS, the reader come here.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	if !s.gather {
		s.mu.Unlock()
		return s.TCPConn.Write(p)
	}
	s.sealed = append(s.sealed, p...)
	s.mu.Unlock()
	return len(p), nil
}

func (s *socket) beginGathering() {
	s.mu.Lock()
	s.gather = true
	s.mu.Unlock()
}

// takeSealed hands out what was gathered; it stays untouched until written.
func (s *socket) takeSealed() []byte {
	s.mu.Lock()
	s.sealed, s.writing = s.writing[:0], s.sealed
	out := s.writing
	s.mu.Unlock()
	return out
}

// written says that what takeSealed handed out is with the kernel.
func (s *socket) written() {
	s.mu.Lock()
	s.writing = s.writing[:0]
	s.mu.Unlock()
}

// Close ends the connection. What was read and not taken yet is dropped.
func (s *socket) Close() error {
	s.closed.Store(true)
	return s.TCPConn.Close()
}

// linger lets the peer read the last words before the connection ends: closing
// with unread data would make the kernel throw them away.
func (s *socket) linger() {
	if s.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, s.TCPConn, lingerMax) // ends with the peer's close, or the handshake's deadline
	}
}
