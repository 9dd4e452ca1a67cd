package tcp

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/transport"
)

// TestARoundTripAllocatesNothing is about plain connections. Under TLS the
// standard library allocates 24 bytes for a record that it reads: see the
// benchmark.
func TestARoundTripAllocatesNothing(t *testing.T) {
	n := newNetwork(t, false)
	accepted := newHandler()
	var ack message.Message
	accepted.message = func(c transport.Conn, m *message.Message) {
		ack = message.Message{Kind: message.Ack, Accepted: m.Seq}
		c.Send(&ack)
	}
	accepted.batch = transport.Conn.Flush
	p := n.params(t, node(2))
	p.Pool = &slabs{}
	n.start(t, p, accepted)
	from := n.start(t, n.params(t, node(1)), newHandler())
	dialled, done := newHandler(), make(chan struct{}, 1)
	dialled.message = func(transport.Conn, *message.Message) { done <- struct{}{} }
	conn := from.Dial(t.Context(), node(2), hello(node(1)), dialled)
	<-dialled.opened
	data := block.Heap{}.Get(block.Size)
	m := write(1, data)
	allocs := testing.AllocsPerRun(500, func() {
		data.Retain()
		conn.Send(&m)
		conn.Flush()
		<-done
	})
	if allocs != 0 {
		t.Errorf("%v allocations a round trip, want 0", allocs)
	}
}
