package transport

import (
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// kindName names every kind for golden files and test output.
var kindName = [message.KindCount]string{
	message.Prepare: "prepare", message.Append: "append", message.Sync: "sync", message.Read: "read",
	message.Grant: "grant", message.FetchTail: "fetchtail", message.Truncate: "truncate",
	message.ListChanged: "listchanged", message.Pull: "pull", message.Push: "push",
	message.ResyncBegin: "resyncbegin", message.ResyncLive: "resynclive", message.ResyncEnd: "resyncend",
	message.ListLayers: "listlayers", message.Checksum: "checksum", message.Map: "map", message.Repair: "repair",
	message.Promise: "promise", message.Ack: "ack", message.Data: "data", message.Granted: "granted",
	message.Tail: "tail", message.Done: "done", message.Changed: "changed", message.Pulled: "pulled",
	message.Fenced: "fenced", message.Unprepared: "unprepared", message.Rotten: "rotten",
	message.Shape: "shape", message.Layers: "layers",
}

// pattern returns length bytes that differ from place to place.
func pattern(length int) block.Buffer {
	b := block.Heap{}.Get(length)
	for i := range b.Bytes() {
		b.Bytes()[i] = byte(i*7 + i>>8)
	}
	return b
}

// sample returns a message of kind k with every field set that its comment in
// package message lists.
func sample(k message.Kind) message.Message {
	m := message.Message{
		Kind: k, Status: message.BehindSeq, Era: 0x0101010101010101, Request: 0x0202020202020202,
		Seq: 0x0303030303030303, Committed: 0x0404040404040404, Stable: 0x0505050505050505,
	}
	position := block.Position{Era: 6, Seq: 7}
	switch k { //nolint:exhaustive // the header says all of the others
	case message.Append, message.Tail:
		m.Payload = pattern(2 * block.Size)
		m.Record = message.Record{
			Position: position, Op: message.OpWrite, FUA: true, Range: block.Range{First: 0x1003, Count: 2},
			Checksums: block.ChecksumsOf(m.Payload.Bytes(), block.Size),
		}
	case message.Read, message.Map:
		m.Range, m.Layer = block.Range{First: 0x1003, Count: 5}, 0x1919
	case message.Checksum:
		m.Range = block.Range{First: 0x1003, Count: 5}
	case message.Grant:
		m.Duration = 2500 * time.Millisecond
	case message.FetchTail:
		m.Until = 0x0909
	case message.Truncate:
		m.Position = position
	case message.ListChanged:
		m.Cursor, m.Since, m.Layer = 0x0a0a, 0x0b0b, 0x1919
	case message.Pull:
		m.Chunk, m.Layer = 0x0c0c, 0x1919
	case message.Push, message.Pulled:
		m.Resync, m.Chunk, m.LastSeq = 0x0d0d, 0x0c0c, 0x0e0e
		m.Present, m.Zero = 0b101, 0b1000
		m.Payload = pattern(3 * block.Size)
		m.Checksums = block.ChecksumsOf(m.Payload.Bytes(), block.Size)
		m.Checksums[1] = 0 // not present
	case message.ResyncBegin:
		m.Resync, m.Since = 0x0d0d, 0x0b0b
	case message.ResyncLive:
		m.Resync, m.Position = 0x0d0d, position
	case message.Shape:
		m.Resync = 0x0d0d
		m.Record = message.Record{Position: position, Op: message.OpSnap, Layer: 0x1919, Parent: 0x1a1a}
	case message.Layers:
		m.Layers = []message.LayerInfo{{ID: 0x1919, Closed: position, Deleted: true, Blocks: 0x2020}, {Parent: 0x1919}}
	case message.ResyncEnd, message.ListLayers:
		m.Resync = 0x0d0d
	case message.Repair:
		m.Chunk, m.LastSeq, m.Payload = 0x0c0c, 0x0e0e, pattern(block.Size)
	case message.Promise:
		m.Promise = &message.PromiseInfo{
			Incarnation: 0x1111, BootID: block.BootID{1, 2, 3, 15: 16}, Tainted: true, Complete: true, LastAccepted: position,
			Durable: 0x1212, Stable: 0x1313, KnownEpoch: 0x1414, Blocks: 0x2121, GrantRemaining: time.Second,
		}
	case message.Ack:
		m.Accepted, m.Durable, m.Credit, m.Pressure = 0x1515, 0x1616, 0x1717, 0x18
	case message.Granted:
		m.Accepted, m.Durable = 0x1515, 0x1616
	case message.Data:
		m.Range = block.Range{First: 0x1003, Count: 1}
		m.Payload = pattern(block.Size)
		m.Checksums = block.ChecksumsOf(m.Payload.Bytes(), block.Size)
	case message.Changed:
		m.Cursor, m.Changes = 0x0a0a, []message.Change{{Chunk: 1, LastSeq: 2}, {Chunk: 3, LastSeq: 4}}
	}
	return m
}

// random returns a message that a node could send, with any of the optional
// fields set or not.
func random(r *rand.Rand) message.Message {
	m := message.Message{
		Kind: message.Kind(1 + r.IntN(int(message.KindCount)-1)), Status: message.Status(r.IntN(int(message.StatusCount))),
		Era: block.Epoch(r.Uint64()), Request: r.Uint64(), Seq: block.Seq(r.Uint64()),
		Committed: block.Seq(r.Uint64()), Stable: block.Seq(r.Uint64()),
	}
	maybe := func(set func()) {
		if r.IntN(2) == 0 {
			set()
		}
	}
	position := func() block.Position { return block.Position{Era: block.Epoch(r.Uint64()), Seq: block.Seq(r.Uint64())} }
	maybe(func() { m.Until = block.Seq(r.Uint64()) })
	maybe(func() { m.Accepted = block.Seq(r.Uint64()) })
	maybe(func() { m.Durable = block.Seq(r.Uint64()) })
	maybe(func() { m.Credit = r.Uint32() })
	maybe(func() { m.Pressure = uint8(r.Uint32()) })
	maybe(func() { m.Duration = time.Duration(r.Int64()) })
	maybe(func() { m.Position = position() })
	maybe(func() { m.Range = block.Range{First: block.Block(r.Uint64() >> 1), Count: r.Uint32()} })
	maybe(func() { m.Chunk = block.Chunk(r.Uint64()) })
	maybe(func() { m.LastSeq = block.Seq(r.Uint64()) })
	maybe(func() { m.Since = block.Seq(r.Uint64()) })
	maybe(func() { m.Resync = r.Uint64() })
	maybe(func() { m.Cursor = r.Uint64() })
	maybe(func() { m.Layer = block.LayerID(r.Uint64()) })
	maybe(func() {
		for range r.IntN(4) {
			m.Layers = append(m.Layers, message.LayerInfo{
				ID: block.LayerID(r.Uint64()), Parent: block.LayerID(r.Uint64()), Closed: position(), Deleted: r.IntN(2) == 0, Blocks: r.Uint64(),
			})
		}
	})
	maybe(func() { m.Present, m.Zero = uint16(r.Uint32())>>r.IntN(16), uint16(r.Uint32()) })
	maybe(func() {
		for i := range r.IntN(block.PerChunk + 1) {
			m.Checksums[i] = block.Checksum(r.Uint32())
		}
	})
	maybe(func() {
		m.Record = message.Record{
			Position: position(), Op: message.Op(1 + r.IntN(int(message.OpCount)-1)), FUA: r.IntN(2) == 0,
			Range: block.Range{First: block.Block(r.Uint64() >> 1), Count: r.Uint32()},
		}
		if shapesLayers(m.Record.Op) {
			m.Record.Layer, m.Record.Parent = block.LayerID(r.Uint64()), block.LayerID(r.Uint64())
		}
		if m.Record.Op == message.OpResize {
			m.Record.Blocks = r.Uint64()
		}
	})
	maybe(func() {
		m.Promise = &message.PromiseInfo{
			Incarnation: block.Incarnation(r.Uint64()), BootID: block.BootID{byte(r.Uint32())}, Tainted: r.IntN(2) == 0,
			Complete: r.IntN(2) == 0, LastAccepted: position(), Durable: block.Seq(r.Uint64()),
			Stable: block.Seq(r.Uint64()), KnownEpoch: block.Epoch(r.Uint64()), Blocks: r.Uint64(), GrantRemaining: time.Duration(r.Int64()),
		}
	})
	maybe(func() {
		m.Changes = nil
		for range r.IntN(20) {
			m.Changes = append(m.Changes, message.Change{Chunk: block.Chunk(r.Uint64()), LastSeq: block.Seq(r.Uint64())})
		}
	})
	addPayload(r, &m)
	return m
}

// addPayload gives m the payload that its kind asks for, with its checksums.
func addPayload(r *rand.Rand, m *message.Message) {
	first := block.Block(r.Uint32())
	blocks := block.Range{First: first, Count: uint32(1 + r.IntN(block.PerChunk-first.Offset()))}
	data := pattern(int(blocks.Count) * block.Size)
	sums := block.ChecksumsOf(data.Bytes(), block.Size)
	switch m.Kind { //nolint:exhaustive // the others have none
	case message.Append, message.Tail:
		if m.Record.Op == message.OpInvalid {
			m.Record.Op = message.OpNop
		}
		if m.Record.Op == message.OpWrite {
			m.Record.Range, m.Record.Checksums, m.Payload = blocks, sums, data
		}
	case message.Data:
		if m.Status == message.OK {
			m.Range, m.Checksums, m.Payload = blocks, sums, data
		}
	case message.Push, message.Pulled:
		data = pattern(bits.Len16(m.Present) * block.Size)
		m.Checksums, m.Payload = block.ChecksumsOf(data.Bytes(), block.Size), data
	case message.Repair:
		m.Payload = data
	}
}

// frame returns all bytes of m's frame.
func frame(t testing.TB, m *message.Message) []byte {
	t.Helper()
	b, err := Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return append(b, m.Payload.Bytes()...)
}
