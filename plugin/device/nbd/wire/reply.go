package wire

import "fmt"

// Types of the chunks of a structured reply, and its flag.
const (
	chunkNone        = 0
	chunkOffsetData  = 1
	chunkBlockStatus = 5
	chunkError       = 1<<15 | 1
	flagDone         = 1 << 0 // no other chunk follows: ours have one each
)

const (
	simpleBytes = 16
	chunkBytes  = 20
	// HeadBytesMax is room for whatever comes before a payload.
	HeadBytesMax = chunkBytes + 8
	// ExtentBytes is the length of one extent in a payload of block status.
	ExtentBytes = 8
)

// Each of these writes what comes before the payload of a reply into b, which has
// HeadBytesMax bytes, and returns its length.

// PutSimple is a simple reply; the data of a read follows.
func PutSimple(b []byte, cookie uint64, errno Errno) int {
	order.PutUint32(b, magicSimple)
	order.PutUint32(b[4:], uint32(errno))
	order.PutUint64(b[8:], cookie)
	return simpleBytes
}

func putChunk(b []byte, kind uint16, cookie uint64, length int) {
	order.PutUint32(b, magicStructured)
	order.PutUint16(b[4:], flagDone)
	order.PutUint16(b[6:], kind)
	order.PutUint64(b[8:], cookie)
	order.PutUint32(b[16:], uint32(length))
}

// PutDone is a structured reply that says only that all went well.
func PutDone(b []byte, cookie uint64) int {
	putChunk(b, chunkNone, cookie, 0)
	return chunkBytes
}

// PutError is a structured reply of an error.
func PutError(b []byte, cookie uint64, errno Errno) int {
	putChunk(b, chunkError, cookie, 6)
	order.PutUint32(b[chunkBytes:], uint32(errno))
	order.PutUint16(b[chunkBytes+4:], 0) // no message
	return chunkBytes + 6
}

// PutData is a structured reply of length bytes of data, which follow.
func PutData(b []byte, cookie, offset uint64, length int) int {
	putChunk(b, chunkOffsetData, cookie, 8+length)
	order.PutUint64(b[chunkBytes:], offset)
	return chunkBytes + 8
}

// PutBlockStatus is a structured reply of extents, which follow.
func PutBlockStatus(b []byte, cookie uint64, context uint32, extents int) int {
	putChunk(b, chunkBlockStatus, cookie, 4+extents*ExtentBytes)
	order.PutUint32(b[chunkBytes:], context)
	return chunkBytes + 4
}

// AppendExtent appends an extent of a block status.
func AppendExtent(b []byte, length, state uint32) []byte {
	return order.AppendUint32(order.AppendUint32(b, length), state)
}

// Reply is what a client sees of a reply.
type Reply struct {
	Cookie  uint64
	Errno   Errno
	Offset  uint64 // of structured data
	Payload int    // bytes that follow; of a simple reply the client knows them itself
}

// ParseReply reads a reply from the beginning of b, and says how long it is
// without its payload; 0: it needs more bytes.
func ParseReply(b []byte) (r Reply, length int, err error) {
	if len(b) < simpleBytes {
		return r, 0, nil
	}
	r.Cookie = order.Uint64(b[8:])
	switch magic := order.Uint32(b); {
	case magic == magicSimple:
		r.Errno = Errno(order.Uint32(b[4:]))
		return r, simpleBytes, nil
	case magic != magicStructured:
		return r, 0, fmt.Errorf("a reply begins with %#x", magic)
	case len(b) < chunkBytes:
		return r, 0, nil
	}
	kind, n := order.Uint16(b[6:]), int(order.Uint32(b[16:]))
	head, least := 0, 0
	switch kind {
	case chunkNone:
	case chunkOffsetData:
		head, least = 8, 8
	case chunkBlockStatus:
		head, least = 4, 4+ExtentBytes
	case chunkError:
		head, least = 6, 6
	default:
		return r, 0, fmt.Errorf("a chunk of type %#x is unknown", kind)
	}
	if n < least || kind == chunkNone && n > 0 {
		return r, 0, fmt.Errorf("a chunk of type %#x has %d bytes", kind, n)
	}
	if len(b) < chunkBytes+head {
		return r, 0, nil
	}
	switch kind {
	case chunkOffsetData:
		r.Offset = order.Uint64(b[chunkBytes:])
	case chunkError:
		r.Errno = Errno(order.Uint32(b[chunkBytes:]))
	}
	r.Payload = n - head
	return r, chunkBytes + head, nil
}
