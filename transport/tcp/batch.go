package tcp

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/transport"
)

// batch is messages in their order, ready to be written. It holds a reference
// to each payload until release.
type batch struct {
	heads  []byte // headers and extensions, one after the other
	pieces []piece
	bytes  int // of heads and payloads
}

// piece is one message: its head ends at end, and begins where the last one's ended.
type piece struct {
	end     int
	payload block.Buffer
}

// add appends m and takes over its payload's reference, unless it fails.
func (b *batch) add(m *message.Message) error {
	before := len(b.heads)
	heads, err := transport.Append(b.heads, m)
	if err != nil {
		return err
	}
	b.heads = heads
	b.pieces = append(b.pieces, piece{end: len(heads), payload: m.Payload})
	b.bytes += len(heads) - before + m.Payload.Len()
	return nil
}

// release gives the payloads back and empties b, which keeps its memory for
// the next messages if that is not out of proportion.
func (b *batch) release() {
	for i := range b.pieces {
		b.pieces[i].payload.Release()
	}
	clear(b.pieces)
	b.pieces, b.heads, b.bytes = b.pieces[:0], b.heads[:0], 0
	if cap(b.heads) > keptMax {
		b.pieces, b.heads = nil, nil
	}
}
