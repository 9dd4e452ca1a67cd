package tcp

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/transport"
)

// slabs is a pool that reuses its memory.
type slabs struct {
	mu   sync.Mutex
	free []*block.Slab
}

func (p *slabs) Get(length int) block.Buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		s := p.free[n-1]
		p.free = p.free[:n-1]
		return s.Buffer(length)
	}
	return block.NewSlab(make([]byte, block.PerChunk*block.Size), p.put).Buffer(length)
}

func (p *slabs) put(s *block.Slab) {
	p.mu.Lock()
	p.free = append(p.free, s)
	p.mu.Unlock()
}

// BenchmarkRoundTrip sends writes of 4 KiB and waits for each one's ack, on
// loopback. raw is the same bytes on bare sockets: what the kernel costs.
//
//	go test ./transport/tcp -run - -bench RoundTrip -count 5
func BenchmarkRoundTrip(b *testing.B) {
	for _, depth := range []int{1, 32} {
		b.Run(fmt.Sprintf("raw/qd%d", depth), func(b *testing.B) { benchmarkRaw(b, depth) })
		b.Run(fmt.Sprintf("plain/qd%d", depth), func(b *testing.B) { benchmarkTransport(b, false, depth) })
		b.Run(fmt.Sprintf("tls/qd%d", depth), func(b *testing.B) { benchmarkTransport(b, true, depth) })
	}
}

// share runs b.N calls of one on depth goroutines; each has its number.
func share(b *testing.B, depth int, one func(i int)) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(block.Size)
	for i := range depth { // connections and buffers reach their steady state
		one(i)
	}
	b.ResetTimer()
	var running sync.WaitGroup
	for i := range depth {
		running.Go(func() {
			for range (b.N + depth - 1 - i) / depth {
				one(i)
			}
		})
	}
	running.Wait()
	b.StopTimer()
}

func benchmarkTransport(b *testing.B, secure bool, depth int) {
	n := newNetwork(b, secure)
	accepted := newHandler()
	var ack message.Message // as in a host, whose effects are kept from step to step
	accepted.message = func(c transport.Conn, m *message.Message) {
		ack = message.Message{Kind: message.Ack, Request: m.Request, Accepted: m.Seq, Durable: m.Seq}
		c.Send(&ack)
	}
	accepted.batch = transport.Conn.Flush
	p := n.params(b, node(2))
	p.Pool = &slabs{}
	n.start(b, p, accepted)
	from := n.start(b, n.params(b, node(1)), newHandler())

	dialled := newHandler()
	done := make([]chan struct{}, depth)
	for i := range done {
		done[i] = make(chan struct{}, 1)
	}
	dialled.message = func(_ transport.Conn, m *message.Message) { done[m.Request] <- struct{}{} }
	c := from.Dial(b.Context(), node(2), hello(node(1)), dialled)
	<-dialled.opened
	data := block.Heap{}.Get(block.Size)
	template := write(1, data)
	messages := make([]message.Message, depth)
	for i := range messages {
		messages[i] = template
		messages[i].Request = uint64(i)
	}
	share(b, depth, func(i int) {
		data.Retain()
		c.Send(&messages[i])
		c.Flush()
		<-done[i]
	})
}

func benchmarkRaw(b *testing.B, depth int) {
	const frameSize, ackSize = 64 + 35 + block.Size, 64 + 16
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go echoRaw(listener, frameSize, ackSize)
	c, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	frame, ack := make([]byte, frameSize), make([]byte, ackSize)
	if depth == 1 {
		share(b, 1, func(int) {
			_, _ = c.Write(frame)
			_, _ = io.ReadFull(c, ack)
		})
		return
	}
	var mu sync.Mutex
	done := make(chan struct{}, depth)
	go func() {
		r := bufio.NewReaderSize(c, readBuffer)
		for {
			if _, err := io.ReadFull(r, ack); err != nil {
				return
			}
			done <- struct{}{}
		}
	}()
	share(b, depth, func(int) {
		mu.Lock()
		_, _ = c.Write(frame)
		mu.Unlock()
		<-done
	})
}

// echoRaw answers each frame of one connection with an ack, those of one read
// together.
func echoRaw(listener net.Listener, frameSize, ackSize int) {
	c, err := listener.Accept()
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	r := bufio.NewReaderSize(c, readBuffer)
	frame, acks := make([]byte, frameSize), make([]byte, 0, readBuffer)
	for {
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		if acks = acks[:len(acks)+ackSize]; r.Buffered() < frameSize {
			if _, err := c.Write(acks); err != nil {
				return
			}
			acks = acks[:0]
		}
	}
}
