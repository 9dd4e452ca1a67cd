package wire

import "fmt"

// RequestBytes is the length of a request without its payload.
const RequestBytes = 28

// Request is one request of a client. A write's payload of Length bytes follows it.
type Request struct {
	Flags   CommandFlags
	Command Command
	Cookie  uint64 // the client's own: it comes back with the reply
	Offset  uint64
	Length  uint32
}

// ParseRequest reads a request.
func ParseRequest(b []byte) (r Request, err error) {
	if magic := order.Uint32(b); magic != magicRequest {
		return r, fmt.Errorf("a request begins with %#x", magic)
	}
	return Request{
		Flags: CommandFlags(order.Uint16(b[4:])), Command: Command(order.Uint16(b[6:])),
		Cookie: order.Uint64(b[8:]), Offset: order.Uint64(b[16:]), Length: order.Uint32(b[24:]),
	}, nil
}

// AppendRequest appends a request: what a client says.
func AppendRequest(b []byte, r Request) []byte {
	b = order.AppendUint32(b, magicRequest)
	b = order.AppendUint16(b, uint16(r.Flags))
	b = order.AppendUint16(b, uint16(r.Command))
	b = order.AppendUint64(b, r.Cookie)
	b = order.AppendUint64(b, r.Offset)
	return order.AppendUint32(b, r.Length)
}
