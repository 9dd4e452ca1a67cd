package transport

import (
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// Reader takes messages off a stream of bytes.
type Reader struct {
	src       io.Reader
	pool      block.Pool
	blockSize int
	head      [HeaderSize]byte
	extension []byte // kept from message to message, at most extensionMax
}

// NewReader returns a Reader of src, which should be buffered: it is asked for
// few bytes at a time. Payloads are read into buffers of pool.
func NewReader(src io.Reader, pool block.Pool, blockSize int) *Reader {
	return &Reader{src: src, pool: pool, blockSize: blockSize, extension: make([]byte, 256)}
}

// Next reads the next message into m and hands its payload's reference over.
// It returns io.EOF at an end between two frames, a *FrameError if the peer
// sent what is no message, and the source's error otherwise.
func (r *Reader) Next(m *message.Message) error {
	if n, err := io.ReadFull(r.src, r.head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return truncated(message.KindInvalid, n, HeaderSize, err)
	}
	h, err := parseHeader(&r.head, m, block.PerChunk*r.blockSize)
	if err != nil {
		return err
	}
	if cap(r.extension) < h.extension {
		r.extension = make([]byte, h.extension, extensionMax)
	}
	extension := r.extension[:h.extension]
	if n, err := io.ReadFull(r.src, extension); err != nil {
		return truncated(h.kind, n, h.extension, err)
	}
	if payloadOf(h.kind) != byCRC {
		if err := r.checkCRC(h, frameCRC(&r.head, extension)); err != nil {
			return err
		}
	}
	if err := parseFields(extension, h.fields, m); err != nil {
		return err
	}
	if err := checkLengths(m, h.payload, r.blockSize); err != nil {
		return err
	}
	return r.payload(h, extension, m)
}

func (r *Reader) payload(h header, extension []byte, m *message.Message) (err error) {
	if h.payload > 0 {
		m.Payload = r.pool.Get(h.payload)
		defer func() {
			if err != nil {
				m.Payload.Release()
				m.Payload = block.Buffer{}
			}
		}()
		if n, err := io.ReadFull(r.src, m.Payload.Bytes()); err != nil {
			return truncated(h.kind, n, h.payload, err)
		}
	}
	switch payloadOf(h.kind) {
	case byBlocks:
		return checkBlocks(m, r.blockSize)
	case byCRC:
		return r.checkCRC(h, extend(frameCRC(&r.head, extension), m.Payload.Bytes()))
	case noPayload:
	}
	return nil
}

func (r *Reader) checkCRC(h header, crc block.Checksum) error {
	if uint32(crc) != h.crc {
		return &FrameError{Fault: BadCRC, Kind: h.kind, Got: uint64(h.crc), Limit: uint64(crc)}
	}
	return nil
}

// truncated tells a stream that ended within a frame from one that broke.
func truncated(kind message.Kind, got, want int, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &FrameError{Fault: Truncated, Kind: kind, Got: uint64(got), Limit: uint64(want), Err: io.ErrUnexpectedEOF}
	}
	return fmt.Errorf("read a frame: %w", err)
}

// checkLengths compares a payload's announced length with what the message
// says of it, before memory is taken for it.
func checkLengths(m *message.Message, length, blockSize int) error {
	want := 0
	switch m.Kind {
	case message.Append, message.Tail:
		if m.Record.Op == message.OpInvalid {
			return &FrameError{Fault: BadValue, Kind: m.Kind, Got: uint64(m.Record.Op)}
		}
		if m.Record.Op == message.OpWrite {
			if !m.Record.Range.InOneChunk() {
				return &FrameError{Fault: BadValue, Kind: m.Kind, Got: uint64(m.Record.Range.Count)}
			}
			want = int(m.Record.Range.Count) * blockSize
		}
	case message.Data:
		if length == 0 {
			return nil // a refusal: see Status
		}
		if !m.Range.InOneChunk() {
			return &FrameError{Fault: BadValue, Kind: m.Kind, Got: uint64(m.Range.Count)}
		}
		want = int(m.Range.Count) * blockSize
	case message.Push, message.Pulled:
		// Present blocks lie at their place in the chunk; what follows the last
		// of them may be left out.
		if length%blockSize == 0 && length >= bits.Len16(m.Present)*blockSize {
			return nil
		}
		want = bits.Len16(m.Present) * blockSize
	case message.KindInvalid, message.Prepare, message.Sync, message.Read, message.Grant, message.FetchTail,
		message.Truncate, message.ListChanged, message.Pull, message.ResyncBegin, message.ResyncLive,
		message.ResyncEnd, message.ResyncPass, message.ListLayers, message.Checksum, message.Map, message.Repair, message.Promise, message.Ack, message.Granted,
		message.Done, message.Changed, message.Fenced, message.Unprepared, message.Rotten, message.Shape, message.Layers, message.KindCount:
		return nil
	}
	if length != want {
		return &FrameError{Fault: PayloadLength, Kind: m.Kind, Got: uint64(length), Limit: uint64(want)}
	}
	return nil
}

// checkBlocks compares every block of m's payload with its checksum. It is
// paid here, 0.2 µs a block, so that damage on the way is never acknowledged.
func checkBlocks(m *message.Message, blockSize int) error {
	sums, present := &m.Checksums, uint16(1<<block.PerChunk-1)
	if m.Kind == message.Append || m.Kind == message.Tail {
		sums = &m.Record.Checksums
	}
	if m.Kind == message.Push || m.Kind == message.Pulled {
		present = m.Present &^ m.Bad()
	}
	data := m.Payload.Bytes()
	for i := 0; i < len(data)/blockSize; i++ {
		if present&(1<<i) != 0 && block.ChecksumOf(data[i*blockSize:(i+1)*blockSize]) != sums[i] {
			return &FrameError{Fault: BadBlock, Kind: m.Kind, Got: uint64(i)}
		}
	}
	return nil
}
