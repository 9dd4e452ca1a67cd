package transport

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

const (
	// Version is the version of the frame. Another one is refused.
	Version = 1
	// HeaderSize is the length of the fixed part of a frame in bytes.
	HeaderSize = 64
	// ChangesMax is how many changes one CHANGED carries: the answer to one
	// LISTCHANGED is cut there, so that a peer is never asked for much memory.
	ChangesMax = 4096
	// LayersMax is how many layers one LAYERS carries: more than a replica has.
	LayersMax = 1024
	layerSize = 41

	// extensionMax bounds the extension: a full list of changes, and of layers,
	// and 1 KiB for all other groups together (they need 370 bytes).
	extensionMax = 16*ChangesMax + layerSize*LayersMax + 1024

	magic = 0x4e47414c // "LAGN"
)

// offsets of the header's fields; see the package comment.
const (
	offMagic     = 0
	offVersion   = 4
	offKind      = 5
	offStatus    = 6
	offZero      = 7
	offFields    = 8
	offExtension = 12
	offPayload   = 16
	offCRC       = 20
	offRequest   = 24
	offEra       = 32
	offSeq       = 40
	offCommitted = 48
	offStable    = 56
)

// header is the decoded fixed part of a frame that is no field of a message.
type header struct {
	kind      message.Kind
	fields    uint32
	extension int
	payload   int
	crc       uint32
}

// coverage says what vouches for the payload of a kind of message.
type coverage uint8

const (
	noPayload coverage = iota
	byBlocks           // the checksums of its blocks
	byCRC              // the frame's crc
)

func payloadOf(k message.Kind) coverage {
	switch k {
	case message.Append, message.Tail, message.Data, message.Push, message.Pulled:
		return byBlocks
	case message.Repair:
		return byCRC
	case message.KindInvalid, message.Prepare, message.Sync, message.Read, message.Grant, message.FetchTail,
		message.Truncate, message.ListChanged, message.Pull, message.ResyncBegin, message.ResyncLive,
		message.ResyncEnd, message.ResyncPass, message.ListLayers, message.Checksum, message.Map, message.Promise, message.Ack, message.Granted,
		message.Done, message.Changed, message.Fenced, message.Unprepared, message.Rotten, message.Shape, message.Layers, message.KindCount:
	}
	return noPayload
}

// Append appends the header and extension of m's frame to dst. The frame on the
// wire is that, followed by the bytes of m.Payload. It allocates only if dst is
// too small, and fails only on a message that no peer would take: on an error
// dst is returned unchanged.
func Append(dst []byte, m *message.Message) ([]byte, error) {
	cover := payloadOf(m.Kind)
	if err := checkOutgoing(m, cover); err != nil {
		return dst, err
	}
	start := len(dst)
	var head [HeaderSize]byte
	dst = append(dst, head[:]...)
	dst, fields := appendFields(dst, m)
	h := dst[start:]
	le := binary.LittleEndian
	le.PutUint32(h[offMagic:], magic)
	h[offVersion], h[offKind], h[offStatus] = Version, uint8(m.Kind), uint8(m.Status)
	le.PutUint32(h[offFields:], fields)
	le.PutUint32(h[offExtension:], uint32(len(h)-HeaderSize))
	le.PutUint32(h[offPayload:], uint32(m.Payload.Len()))
	le.PutUint64(h[offRequest:], m.Request)
	le.PutUint64(h[offEra:], uint64(m.Era))
	le.PutUint64(h[offSeq:], uint64(m.Seq))
	le.PutUint64(h[offCommitted:], uint64(m.Committed))
	le.PutUint64(h[offStable:], uint64(m.Stable))
	crc := block.ChecksumOf(h) // its own place is still zero
	if cover == byCRC {
		crc = extend(crc, m.Payload.Bytes())
	}
	le.PutUint32(h[offCRC:], uint32(crc))
	return dst, nil
}

func checkOutgoing(m *message.Message, cover coverage) error {
	switch {
	case m.Kind == message.KindInvalid || m.Kind >= message.KindCount:
		return &FrameError{Fault: UnknownKind, Kind: m.Kind, Got: uint64(m.Kind)}
	case m.Status >= message.StatusCount:
		return &FrameError{Fault: UnknownStatus, Kind: m.Kind, Got: uint64(m.Status)}
	case len(m.Changes) > ChangesMax:
		return &FrameError{Fault: TooManyChanges, Kind: m.Kind, Got: uint64(len(m.Changes)), Limit: ChangesMax}
	case len(m.Layers) > LayersMax:
		return &FrameError{Fault: TooManyChanges, Kind: m.Kind, Got: uint64(len(m.Layers)), Limit: LayersMax}
	case cover == noPayload && !m.Payload.Empty():
		return &FrameError{Fault: PayloadForbidden, Kind: m.Kind, Got: uint64(m.Payload.Len())}
	case m.Payload.Len() > block.PerChunk*block.Size:
		return &FrameError{Fault: PayloadTooLong, Kind: m.Kind, Got: uint64(m.Payload.Len()), Limit: block.PerChunk * block.Size}
	case m.Duration < 0 || m.Promise != nil && m.Promise.GrantRemaining < 0:
		return &FrameError{Fault: BadValue, Kind: m.Kind, Got: uint64(m.Duration)}
	}
	return nil
}

// parseHeader reads the fixed part of a frame into m and returns the rest. It
// refuses every length that is over its limit.
func parseHeader(h *[HeaderSize]byte, m *message.Message, payloadMax int) (header, error) {
	le := binary.LittleEndian
	out := header{
		kind:   message.Kind(h[offKind]),
		fields: le.Uint32(h[offFields:]),
		crc:    le.Uint32(h[offCRC:]),
	}
	extension, payload := le.Uint32(h[offExtension:]), le.Uint32(h[offPayload:])
	fault := func(f Fault, got, limit uint64) (header, error) {
		return out, &FrameError{Fault: f, Kind: out.kind, Got: got, Limit: limit}
	}
	switch {
	case le.Uint32(h[offMagic:]) != magic:
		out.kind = message.KindInvalid
		return fault(BadMagic, uint64(le.Uint32(h[offMagic:])), 0)
	case h[offVersion] != Version:
		return fault(WrongVersion, uint64(h[offVersion]), Version)
	case out.kind >= helloKind:
		return fault(OutOfPlace, uint64(out.kind), 0)
	case out.kind == message.KindInvalid || out.kind >= message.KindCount:
		return fault(UnknownKind, uint64(out.kind), 0)
	case h[offStatus] >= uint8(message.StatusCount):
		return fault(UnknownStatus, uint64(h[offStatus]), 0)
	case h[offZero] != 0:
		return fault(UnknownFlag, uint64(h[offZero]), 0)
	case out.fields >= 1<<groupCount:
		return fault(UnknownField, uint64(out.fields), 0)
	case extension > extensionMax:
		return fault(ExtensionTooLong, uint64(extension), extensionMax)
	case payload > 0 && payloadOf(out.kind) == noPayload:
		return fault(PayloadForbidden, uint64(payload), 0)
	case uint64(payload) > uint64(payloadMax):
		return fault(PayloadTooLong, uint64(payload), uint64(payloadMax))
	}
	out.extension, out.payload = int(extension), int(payload)
	*m = message.Message{
		Kind:      out.kind,
		Status:    message.Status(h[offStatus]),
		Request:   le.Uint64(h[offRequest:]),
		Era:       block.Epoch(le.Uint64(h[offEra:])),
		Seq:       block.Seq(le.Uint64(h[offSeq:])),
		Committed: block.Seq(le.Uint64(h[offCommitted:])),
		Stable:    block.Seq(le.Uint64(h[offStable:])),
	}
	return out, nil
}

// castagnoli is the table of crc32c, which block keeps to itself.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func extend(crc block.Checksum, data []byte) block.Checksum {
	return block.Checksum(crc32.Update(uint32(crc), castagnoli, data))
}

// frameCRC returns the crc of a header, whose own place is taken as zero, and
// what follows it. h is the same afterwards; a copy of it would be allocated.
func frameCRC(h *[HeaderSize]byte, extension []byte) block.Checksum {
	own := [4]byte(h[offCRC:])
	clear(h[offCRC : offCRC+4])
	crc := extend(block.ChecksumOf(h[:]), extension)
	copy(h[offCRC:], own[:])
	return crc
}
