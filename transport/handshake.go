package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// The kinds of the handshake's frames, above all kinds of messages.
const (
	helloKind   message.Kind = 0xf0
	welcomeKind message.Kind = 0xf1
	deniedKind  message.Kind = 0xf2
)

const (
	// handshakeVersion stands in the version byte of the handshake's frames:
	// their layout is the same for ever.
	handshakeVersion = 1
	helloSize        = 2 + 4*16 + 8 + 8 + 1
	welcomeSize      = 2 + 16
	// reasonMax is how many bytes of a refusal's text travel: a sentence for a log.
	reasonMax = 512
)

// Welcome is an acceptor's answer to a Hello that it takes.
type Welcome struct {
	Version uint16 // of the acceptor's messages
	Node    block.NodeID
}

// DeniedError is an acceptor's answer to a Hello that it refuses.
type DeniedError struct {
	Version uint16 // of the acceptor's messages
	Reason  string
}

// Error returns the acceptor's reason.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("the node refused the connection (it speaks version %d): %s", e.Version, e.Reason)
}

// AppendHello appends the frame of h to dst.
func AppendHello(dst []byte, h *message.Hello) []byte {
	b := make([]byte, 0, helloSize)
	le := binary.LittleEndian
	b = le.AppendUint16(b, h.Version)
	b = append(b, h.Node[:]...)
	b = append(b, h.Volume[:]...)
	b = append(b, h.Disk[:]...)
	b = append(b, h.Replica[:]...)
	b = le.AppendUint64(b, uint64(h.Session))
	b = le.AppendUint64(b, h.Number)
	b = append(b, uint8(h.Purpose))
	return appendHandshake(dst, helloKind, b)
}

// AppendWelcome appends the frame of w to dst.
func AppendWelcome(dst []byte, w Welcome) []byte {
	b := binary.LittleEndian.AppendUint16(make([]byte, 0, welcomeSize), w.Version)
	return appendHandshake(dst, welcomeKind, append(b, w.Node[:]...))
}

// AppendDenied appends the frame of e to dst; a long reason is cut.
func AppendDenied(dst []byte, e *DeniedError) []byte {
	b := binary.LittleEndian.AppendUint16(nil, e.Version)
	return appendHandshake(dst, deniedKind, append(b, e.Reason[:min(len(e.Reason), reasonMax)]...))
}

func appendHandshake(dst []byte, kind message.Kind, extension []byte) []byte {
	var h [HeaderSize]byte
	le := binary.LittleEndian
	le.PutUint32(h[offMagic:], magic)
	h[offVersion], h[offKind] = handshakeVersion, uint8(kind)
	le.PutUint32(h[offExtension:], uint32(len(extension)))
	le.PutUint32(h[offCRC:], uint32(frameCRC(&h, extension)))
	return append(append(dst, h[:]...), extension...)
}

// ReadHello reads a HELLO of any version, and not a byte more.
func ReadHello(src io.Reader) (message.Hello, error) {
	kind, b, err := readHandshake(src, helloSize)
	if err != nil {
		return message.Hello{}, err
	}
	if kind != helloKind || len(b) != helloSize {
		return message.Hello{}, &FrameError{Fault: OutOfPlace, Kind: kind, Got: uint64(kind), Limit: uint64(helloKind)}
	}
	c := cursor{rest: b, kind: kind}
	h := message.Hello{Version: c.uint16()}
	copy(h.Node[:], c.take(16))
	copy(h.Volume[:], c.take(16))
	copy(h.Disk[:], c.take(16))
	copy(h.Replica[:], c.take(16))
	h.Session, h.Number = block.Session(c.uint64()), c.uint64()
	h.Purpose = message.Purpose(c.uint8())
	if h.Purpose > message.Bulk {
		return message.Hello{}, &FrameError{Fault: BadValue, Kind: kind, Got: uint64(h.Purpose)}
	}
	return h, nil
}

// ReadWelcome reads the answer to a HELLO, and not a byte more. A refusal is
// returned as a *DeniedError.
func ReadWelcome(src io.Reader) (Welcome, error) {
	kind, b, err := readHandshake(src, 2+reasonMax)
	if err != nil {
		return Welcome{}, err
	}
	c := cursor{rest: b, kind: kind}
	switch {
	case kind == welcomeKind && len(b) == welcomeSize:
		w := Welcome{Version: c.uint16()}
		copy(w.Node[:], c.take(16))
		return w, nil
	case kind == deniedKind && len(b) >= 2:
		return Welcome{}, &DeniedError{Version: c.uint16(), Reason: string(c.rest)}
	}
	return Welcome{}, &FrameError{Fault: OutOfPlace, Kind: kind, Got: uint64(kind), Limit: uint64(welcomeKind)}
}

func readHandshake(src io.Reader, lengthMax int) (message.Kind, []byte, error) {
	var h [HeaderSize]byte
	if n, err := io.ReadFull(src, h[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, nil, io.EOF
		}
		return 0, nil, truncated(0, n, HeaderSize, err)
	}
	le := binary.LittleEndian
	kind, length := message.Kind(h[offKind]), le.Uint32(h[offExtension:])
	switch {
	case le.Uint32(h[offMagic:]) != magic:
		return 0, nil, &FrameError{Fault: BadMagic, Got: uint64(le.Uint32(h[offMagic:]))}
	case h[offVersion] != handshakeVersion:
		return kind, nil, &FrameError{Fault: WrongVersion, Kind: kind, Got: uint64(h[offVersion]), Limit: handshakeVersion}
	case kind < helloKind:
		return kind, nil, &FrameError{Fault: OutOfPlace, Kind: kind, Got: uint64(kind)}
	case uint64(length) > uint64(lengthMax):
		return kind, nil, &FrameError{Fault: ExtensionTooLong, Kind: kind, Got: uint64(length), Limit: uint64(lengthMax)}
	}
	b := make([]byte, length)
	if n, err := io.ReadFull(src, b); err != nil {
		return kind, nil, truncated(kind, n, int(length), err)
	}
	if crc := frameCRC(&h, b); uint32(crc) != le.Uint32(h[offCRC:]) {
		return kind, nil, &FrameError{Fault: BadCRC, Kind: kind, Got: uint64(le.Uint32(h[offCRC:])), Limit: uint64(crc)}
	}
	return kind, b, nil
}
