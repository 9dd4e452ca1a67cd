package tcp

import "sync/atomic"

// traffic counts what a transport's connections exchange after their handshake.
type traffic struct {
	messagesSent, messagesReceived atomic.Uint64
	bytesSent, bytesReceived       atomic.Uint64 // on the wire, TLS included
}

// Figures is what a transport has done since it was made, and has open now.
type Figures struct {
	Connections      int // dialled and accepted, those in their handshake included
	MessagesSent     uint64
	MessagesReceived uint64
	BytesSent        uint64 // on the wire, TLS included, handshakes not
	BytesReceived    uint64
}

// Figures returns what t has done so far.
func (t *Transport) Figures() Figures {
	t.mu.Lock()
	connections := len(t.conns)
	t.mu.Unlock()
	return Figures{
		Connections:      connections,
		MessagesSent:     t.traffic.messagesSent.Load(),
		MessagesReceived: t.traffic.messagesReceived.Load(),
		BytesSent:        t.traffic.bytesSent.Load(),
		BytesReceived:    t.traffic.bytesReceived.Load(),
	}
}
