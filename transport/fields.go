package transport

import (
	"encoding/binary"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// group is one group of fields of the extension; its value is its bit.
type group uint8

const (
	groupUntil group = iota
	groupAccepted
	groupCredit
	groupDuration
	groupPosition
	groupRange
	groupRecord
	groupChunk
	groupLastSeq
	groupSince
	groupResync
	groupCursor
	groupPresent
	groupChecksums
	groupPromise
	groupChanges
	groupLayer
	groupLayers
	groupCount
)

const (
	promiseTainted  = 1 << 0
	promiseComplete = 1 << 1
)

// holds reports whether a value of group g in m is not zero. An empty list is
// taken for none.
func holds(m *message.Message, g group) bool {
	switch g {
	case groupUntil:
		return m.Until != 0
	case groupAccepted:
		return m.Accepted != 0 || m.Durable != 0
	case groupCredit:
		return m.Credit != 0 || m.Pressure != 0
	case groupDuration:
		return m.Duration != 0
	case groupPosition:
		return m.Position != block.Position{}
	case groupRange:
		return m.Range != block.Range{}
	case groupRecord:
		return m.Record != message.Record{}
	case groupChunk:
		return m.Chunk != 0
	case groupLastSeq:
		return m.LastSeq != 0
	case groupSince:
		return m.Since != 0
	case groupResync:
		return m.Resync != 0
	case groupCursor:
		return m.Cursor != 0
	case groupPresent:
		return m.Present != 0 || m.Zero != 0
	case groupChecksums:
		return m.Checksums != block.Checksums{}
	case groupPromise:
		return m.Promise != nil
	case groupChanges:
		return len(m.Changes) > 0
	case groupLayer:
		return m.Layer != 0
	case groupLayers:
		return len(m.Layers) > 0
	case groupCount:
	}
	return false
}

// appendFields appends the groups that m holds and returns which they are.
func appendFields(dst []byte, m *message.Message) ([]byte, uint32) {
	var fields uint32
	for g := range groupCount {
		if holds(m, g) {
			fields |= 1 << g
			dst = appendGroup(dst, m, g)
		}
	}
	return dst, fields
}

func appendGroup(dst []byte, m *message.Message, g group) []byte {
	le := binary.LittleEndian
	switch g {
	case groupUntil:
		return le.AppendUint64(dst, uint64(m.Until))
	case groupAccepted:
		return le.AppendUint64(le.AppendUint64(dst, uint64(m.Accepted)), uint64(m.Durable))
	case groupCredit:
		return append(le.AppendUint32(dst, m.Credit), m.Pressure)
	case groupDuration:
		return le.AppendUint64(dst, uint64(m.Duration))
	case groupPosition:
		return appendPosition(dst, m.Position)
	case groupRange:
		return appendRange(dst, m.Range)
	case groupRecord:
		return appendRecord(dst, &m.Record)
	case groupChunk:
		return le.AppendUint64(dst, uint64(m.Chunk))
	case groupLastSeq:
		return le.AppendUint64(dst, uint64(m.LastSeq))
	case groupSince:
		return le.AppendUint64(dst, uint64(m.Since))
	case groupResync:
		return le.AppendUint64(dst, m.Resync)
	case groupCursor:
		return le.AppendUint64(dst, m.Cursor)
	case groupPresent:
		return le.AppendUint16(le.AppendUint16(dst, m.Present), m.Zero)
	case groupChecksums:
		return appendChecksums(dst, &m.Checksums)
	case groupPromise:
		return appendPromise(dst, m.Promise)
	case groupChanges:
		dst = le.AppendUint32(dst, uint32(len(m.Changes)))
		for _, c := range m.Changes {
			dst = le.AppendUint64(le.AppendUint64(dst, uint64(c.Chunk)), uint64(c.LastSeq))
		}
	case groupLayer:
		return le.AppendUint64(dst, uint64(m.Layer))
	case groupLayers:
		return appendLayers(dst, m.Layers)
	case groupCount:
	}
	return dst
}

func appendPosition(dst []byte, p block.Position) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(p.Era))
	return binary.LittleEndian.AppendUint64(dst, uint64(p.Seq))
}

func appendRange(dst []byte, r block.Range) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.First))
	return binary.LittleEndian.AppendUint32(dst, r.Count)
}

func appendChecksums(dst []byte, sums *block.Checksums) []byte {
	n := len(sums)
	for n > 0 && sums[n-1] == 0 {
		n--
	}
	dst = append(dst, uint8(n))
	for _, s := range sums[:n] {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(s))
	}
	return dst
}

func appendRecord(dst []byte, r *message.Record) []byte {
	dst = appendPosition(dst, r.Position)
	dst = append(dst, uint8(r.Op), 0)
	if r.FUA {
		dst[len(dst)-1] = 1
	}
	dst = appendRange(dst, r.Range)
	if shapesLayers(r.Op) {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Layer))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Parent))
	}
	if r.Op == message.OpResize {
		dst = binary.LittleEndian.AppendUint64(dst, r.Blocks)
	}
	return appendChecksums(dst, &r.Checksums)
}

func appendLayers(dst []byte, layers []message.LayerInfo) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, uint32(len(layers)))
	for i := range layers {
		l := &layers[i]
		dst = appendPosition(le.AppendUint64(le.AppendUint64(dst, uint64(l.ID)), uint64(l.Parent)), l.Closed)
		dst = append(dst, 0)
		if l.Deleted {
			dst[len(dst)-1] = 1
		}
		dst = le.AppendUint64(dst, l.Blocks)
	}
	return dst
}

// shapesLayers reports whether a record of that kind names layers.
func shapesLayers(op message.Op) bool { return op == message.OpSnap || op == message.OpDelSnap }

func appendPromise(dst []byte, p *message.PromiseInfo) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(dst, uint64(p.Incarnation))
	dst = append(append(dst, p.BootID[:]...), 0)
	flags := &dst[len(dst)-1]
	if p.Tainted {
		*flags |= promiseTainted
	}
	if p.Complete {
		*flags |= promiseComplete
	}
	dst = appendPosition(dst, p.LastAccepted)
	dst = le.AppendUint64(dst, uint64(p.Durable))
	dst = le.AppendUint64(dst, uint64(p.Stable))
	dst = appendPosition(dst, p.SyncTarget)
	dst = le.AppendUint64(le.AppendUint64(dst, uint64(p.KnownEpoch)), p.Blocks)
	return le.AppendUint64(dst, uint64(p.GrantRemaining))
}

// cursor takes values off the front of an extension. The first fault sticks
// and every later value is zero, so that it is looked at once, at the end.
type cursor struct {
	rest  []byte
	fault error
	kind  message.Kind
}

func (c *cursor) fail(f Fault, got, limit uint64) {
	if c.fault == nil {
		c.fault = &FrameError{Fault: f, Kind: c.kind, Got: got, Limit: limit}
	}
	c.rest = nil
}

// take returns the next n bytes, n <= 16, or nil.
func (c *cursor) take(n int) []byte {
	if len(c.rest) < n {
		c.fail(ExtensionShort, uint64(len(c.rest)), uint64(n))
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) uint8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (c *cursor) seq() block.Seq { return block.Seq(c.uint64()) }

func (c *cursor) duration() time.Duration {
	v := c.uint64()
	if v > 1<<63-1 {
		c.fail(BadValue, v, 0)
		return 0
	}
	return time.Duration(v)
}

func (c *cursor) position() block.Position {
	return block.Position{Era: block.Epoch(c.uint64()), Seq: c.seq()}
}

// blockRange refuses a range that ends past the highest block there can be:
// arithmetic on it would wrap.
func (c *cursor) blockRange() block.Range {
	r := block.Range{First: block.Block(c.uint64()), Count: c.uint32()}
	if r.End() < r.First {
		c.fail(BadValue, uint64(r.First), 0)
	}
	return r
}

func (c *cursor) checksums() (sums block.Checksums) {
	n := int(c.uint8())
	if n > len(sums) {
		c.fail(TooManyChecksums, uint64(n), uint64(len(sums)))
		return sums
	}
	for i := range n {
		sums[i] = block.Checksum(c.uint32())
	}
	return sums
}

func (c *cursor) record() message.Record {
	r := message.Record{Position: c.position(), Op: message.Op(c.uint8())}
	if r.Op >= message.OpCount {
		c.fail(BadValue, uint64(r.Op), 0)
	}
	fua := c.uint8()
	if fua > 1 {
		c.fail(UnknownFlag, uint64(fua), 0)
	}
	r.FUA = fua == 1
	r.Range = c.blockRange()
	if shapesLayers(r.Op) {
		r.Layer, r.Parent = block.LayerID(c.uint64()), block.LayerID(c.uint64())
	}
	if r.Op == message.OpResize {
		r.Blocks = c.uint64()
	}
	r.Checksums = c.checksums()
	return r
}

func (c *cursor) promise() *message.PromiseInfo {
	p := &message.PromiseInfo{Incarnation: block.Incarnation(c.uint64())}
	copy(p.BootID[:], c.take(len(p.BootID)))
	flags := c.uint8()
	if flags&^(promiseTainted|promiseComplete) != 0 {
		c.fail(UnknownFlag, uint64(flags), 0)
	}
	p.Tainted, p.Complete = flags&promiseTainted != 0, flags&promiseComplete != 0
	p.LastAccepted = c.position()
	p.Durable, p.Stable, p.SyncTarget = c.seq(), c.seq(), c.position()
	p.KnownEpoch, p.Blocks = block.Epoch(c.uint64()), c.uint64()
	p.GrantRemaining = c.duration()
	return p
}

func (c *cursor) changes() []message.Change {
	n := c.uint32()
	if n > ChangesMax {
		c.fail(TooManyChanges, uint64(n), ChangesMax)
		return nil
	}
	if n == 0 {
		return nil
	}
	if len(c.rest) < 16*int(n) { // before memory is taken for them
		c.fail(ExtensionShort, uint64(len(c.rest)), 16*uint64(n))
		return nil
	}
	changes := make([]message.Change, n)
	for i := range changes {
		changes[i] = message.Change{Chunk: block.Chunk(c.uint64()), LastSeq: c.seq()}
	}
	return changes
}

func (c *cursor) layers() []message.LayerInfo {
	n := c.uint32()
	if n > LayersMax {
		c.fail(TooManyChanges, uint64(n), LayersMax)
		return nil
	}
	if n == 0 {
		return nil
	}
	if len(c.rest) < layerSize*int(n) { // before memory is taken for them
		c.fail(ExtensionShort, uint64(len(c.rest)), layerSize*uint64(n))
		return nil
	}
	layers := make([]message.LayerInfo, n)
	for i := range layers {
		layers[i] = message.LayerInfo{ID: block.LayerID(c.uint64()), Parent: block.LayerID(c.uint64()), Closed: c.position()}
		deleted := c.uint8()
		if deleted > 1 {
			c.fail(UnknownFlag, uint64(deleted), 0)
		}
		layers[i].Deleted, layers[i].Blocks = deleted == 1, c.uint64()
	}
	return layers
}

// parseFields reads the groups named by fields into m.
func parseFields(extension []byte, fields uint32, m *message.Message) error {
	c := cursor{rest: extension, kind: m.Kind}
	for g := range groupCount {
		if fields&(1<<g) != 0 {
			c.group(g, m)
		}
	}
	if c.fault == nil && len(c.rest) > 0 {
		c.fail(ExtensionSurplus, uint64(len(c.rest)), 0)
	}
	return c.fault
}

func (c *cursor) group(g group, m *message.Message) {
	switch g {
	case groupUntil:
		m.Until = c.seq()
	case groupAccepted:
		m.Accepted, m.Durable = c.seq(), c.seq()
	case groupCredit:
		m.Credit, m.Pressure = c.uint32(), c.uint8()
	case groupDuration:
		m.Duration = c.duration()
	case groupPosition:
		m.Position = c.position()
	case groupRange:
		m.Range = c.blockRange()
	case groupRecord:
		m.Record = c.record()
	case groupChunk:
		m.Chunk = block.Chunk(c.uint64())
	case groupLastSeq:
		m.LastSeq = c.seq()
	case groupSince:
		m.Since = c.seq()
	case groupResync:
		m.Resync = c.uint64()
	case groupCursor:
		m.Cursor = c.uint64()
	case groupPresent:
		m.Present, m.Zero = c.uint16(), c.uint16()
	case groupChecksums:
		m.Checksums = c.checksums()
	case groupPromise:
		m.Promise = c.promise()
	case groupChanges:
		m.Changes = c.changes()
	case groupLayer:
		m.Layer = block.LayerID(c.uint64())
	case groupLayers:
		m.Layers = c.layers()
	case groupCount:
	}
}
