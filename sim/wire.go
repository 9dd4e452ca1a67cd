package sim

import (
	"bytes"

	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/transport"
)

// The frames of the production network: what machines say must be what peers
// read, and what broke on its way must be noticed.

// overWire sends a message through frames.
func (n *network) overWire(e *end, m *message.Message) (read message.Message) {
	n.encode(m)
	m.Payload.Release()
	if err := n.decode(e, &read); err != nil {
		n.world.fail("wire", "%s cannot be read: %v", messageText(m), err)
	}
	return read
}

func (n *network) encode(m *message.Message) {
	var err error
	if n.wire, err = transport.Append(n.wire[:0], m); err != nil {
		n.world.fail("wire", "%s cannot be sent: %v", messageText(m), err)
	}
	n.wire = append(n.wire, m.Payload.Bytes()...)
}

func (n *network) decode(e *end, into *message.Message) error {
	return transport.NewReader(bytes.NewReader(n.wire), e.body.pool, n.world.plan.BlockSize).Next(into)
}

// tear lets a part of a frame that is lost with its connection arrive: it breaks
// off in its header, behind it, or in its payload.
func (n *network) tear(e *end, f *frame) {
	if f.kind != frameMessage {
		return
	}
	n.encode(&f.message)
	n.wire = n.wire[:n.tears.below(len(n.wire))]
	n.mustFail(e, f, "broken off")
}

// spoil flips a bit of a frame.
func (n *network) spoil(e *end, f *frame, pick uint64) {
	if f.kind != frameMessage {
		return
	}
	m := &f.message
	n.encode(m)
	at := int(pick >> 3 % uint64(len(n.wire)))
	if b := at - (len(n.wire) - m.Payload.Len()); b >= 0 && (m.Kind == message.Push || m.Kind == message.Pulled) && m.Present>>(b/n.world.plan.BlockSize)&1 == 0 {
		return // in the place of a block that is not there
	}
	n.wire[at] ^= 1 << (pick & 7)
	n.mustFail(e, f, "with a flipped bit")
}

// mustFail reads what is left of a frame.
func (n *network) mustFail(e *end, f *frame, how string) {
	var read message.Message
	if n.decode(e, &read) == nil {
		n.world.fail("wire", "%s is read as %s although it arrived %s", messageText(&f.message), messageText(&read), how)
	}
}
