package format

import (
	"math/bits"

	"github.com/lagan-storage/lagan/core/block"
)

// Kind says what a journal record does. Values are part of the disk format.
type Kind uint8

// The kinds of record.
const (
	KindInvalid Kind = iota
	Write            // Range within one chunk; its data follows in the batch
	Map              // Range is a whole chunk whose data was written to Slot
	ZeroRange        // Range
	Snap             // closes the head as Layer and opens a new one, on Parent if that is not 0
	DelSnap          // the snapshot Layer is gone
	Resize           // the volume has Blocks from here on, no fewer than before
	Nop              // takes a seq
	Truncate         // drops records above Position.Seq written before Position.Era
	Stable           // only carries Stable
	Promise          // reserved: promises travel in Config
	Config           // Meta
	Create           // Replica, Volume, Blocks, Meta; its head stands on Layer of the replica From, if that is not 0
	Delete           // the replica is gone
	Resync           // a push: Range is its chunk in Layer; LastSeq, Apply, Present, Zero; data follows, or is in Slot
	Open             // as Snap, but no record of the stream: Position is where the source closed the layer
	Wrap             // the rest of the ring is skipped
	Reset            // drops all content and records; Meta; Range.First: how many blocks the volume has then, if not 0
	Continue         // the stream goes on behind Position; Meta
	Drop             // as DelSnap, but no record of the stream
	Grow             // as Resize, but no record of the stream
	KindCount        // how many kinds there are, not a kind
)

// kindNames are what people call the kinds.
var kindNames = [KindCount]string{ // constant table: never written
	"INVALID", "WRITE", "MAP", "ZERO", "SNAP", "DELSNAP", "RESIZE", "NOP", "TRUNCATE", "STABLE", "PROMISE", "CONFIG", "CREATE", "DELETE",
	"RESYNC", "OPEN", "WRAP", "RESET", "CONTINUE", "DROP", "GROW",
}

// String returns the name of the kind in docs/storage-format.md.
func (k Kind) String() string {
	if k >= KindCount {
		return kindNames[KindInvalid]
	}
	return kindNames[k]
}

// recordHead is {kind u8, flags u8, sums u8, reserved u8, handle u32, layer u64,
// era u64, seq u64, stable u64, first u64, count u32, body u16, controls u16}.
const recordHead = 56

const (
	flagFUA    = 1
	createSize = 48 + metaSize
	parentSize = 8
	sizeSize   = 8
	resyncSize = 20
)

// Record is one record of the journal. Which fields mean something depends on
// Kind; Handle and Stable always do.
type Record struct {
	Kind     Kind
	FUA      bool
	Handle   uint32
	Layer    block.LayerID
	Parent   block.LayerID
	From     uint32
	Position block.Position
	Stable   block.Seq // the replica's, when the record was written
	Controls uint16    // how many records outside the stream its replica had before: a gap in them shows
	Range    block.Range
	Slot     uint32
	Apply    uint16 // of a Resync: the blocks it replaces
	Present  uint16
	Zero     uint16 // with Present: the data is lost
	LastSeq  block.Seq
	Sums     block.Checksums // of Write, Map and Resync: one for each block of Holds, in order
	Replica  block.ReplicaID
	Volume   block.VolumeID
	Blocks   uint64
	Meta     Meta
}

// InStream reports whether the record takes a seq of its volume's stream.
func (r *Record) InStream() bool {
	switch r.Kind {
	case Write, Map, ZeroRange, Snap, DelSnap, Resize, Nop:
		return true
	case KindInvalid, Truncate, Stable, Promise, Config, Create, Delete, Resync, Open, Wrap, Reset, Continue, Drop, Grow, KindCount:
	}
	return false
}

// Counted reports whether the record is one of its replica's Controls.
func (r *Record) Counted() bool {
	switch r.Kind {
	case Truncate, Config, Delete, Resync, Open, Reset, Continue, Drop, Grow:
		return true
	default:
		return false
	}
}

// Holds returns the blocks of the record's chunk that it has data for.
func (r *Record) Holds() uint16 {
	switch r.Kind {
	case Write, Map:
		return uint16((uint32(1)<<r.Range.Count - 1) << r.Range.First.Offset())
	case Resync:
		return r.Apply & r.Present &^ r.Zero
	default:
		return 0
	}
}

// Lost returns the blocks whose data the source of a Resync had lost.
func (r *Record) Lost() uint16 { return r.Present & r.Zero }

// DataBlocks returns how many blocks of data follow in the batch.
func (r *Record) DataBlocks() int {
	if r.Slot != 0 {
		return 0
	}
	return bits.OnesCount16(r.Holds())
}

func (r *Record) bodySize() int {
	switch r.Kind {
	case Map:
		return 4
	case Snap, Open:
		return parentSize
	case Resize, Grow:
		return sizeSize
	case Resync:
		return resyncSize
	case Config, Reset, Continue:
		return metaSize
	case Create:
		return createSize
	default:
		return 0
	}
}

// Size returns how many bytes Append adds.
func (r *Record) Size() int { return recordHead + r.bodySize() + 4*bits.OnesCount16(r.Holds()) }

// Encode writes the record to b and returns its size.
func (r *Record) Encode(b []byte) int {
	size, body := r.Size(), r.bodySize()
	sums := bits.OnesCount16(r.Holds())
	clear(b[:size])
	b[0], b[2] = byte(r.Kind), byte(sums)
	if r.FUA {
		b[1] = flagFUA
	}
	le.PutUint32(b[4:], r.Handle)
	le.PutUint64(b[8:], uint64(r.Layer))
	le.PutUint64(b[16:], uint64(r.Position.Era))
	le.PutUint64(b[24:], uint64(r.Position.Seq))
	le.PutUint64(b[32:], uint64(r.Stable))
	le.PutUint64(b[40:], uint64(r.Range.First))
	le.PutUint32(b[48:], r.Range.Count)
	le.PutUint16(b[52:], uint16(body))
	le.PutUint16(b[54:], r.Controls)
	r.encodeBody(b[recordHead:])
	for i := range sums {
		le.PutUint32(b[recordHead+body+4*i:], uint32(r.Sums[i]))
	}
	return size
}

func (r *Record) encodeBody(b []byte) {
	switch r.Kind {
	case Map:
		le.PutUint32(b, r.Slot)
	case Snap, Open:
		le.PutUint64(b, uint64(r.Parent))
	case Resize, Grow:
		le.PutUint64(b, r.Blocks)
	case Resync:
		le.PutUint64(b, uint64(r.LastSeq))
		le.PutUint16(b[8:], r.Apply)
		le.PutUint16(b[10:], r.Present)
		le.PutUint16(b[12:], r.Zero)
		le.PutUint32(b[16:], r.Slot)
	case Config, Reset, Continue:
		r.Meta.encode(b)
	case Create:
		copy(b, r.Replica[:])
		copy(b[16:], r.Volume[:])
		le.PutUint64(b[32:], r.Blocks)
		le.PutUint32(b[40:], r.From)
		r.Meta.encode(b[48:])
	default:
	}
}

// Decode reads one record from b and returns its size.
func (r *Record) Decode(b []byte) (int, error) {
	if len(b) < recordHead || b[0] == 0 || b[0] >= byte(KindCount) || b[1]&^flagFUA != 0 || b[3] != 0 {
		return 0, ErrContent
	}
	*r = Record{
		Kind: Kind(b[0]), FUA: b[1] == flagFUA, Handle: le.Uint32(b[4:]), Layer: block.LayerID(le.Uint64(b[8:])),
		Position: block.Position{Era: block.Epoch(le.Uint64(b[16:])), Seq: block.Seq(le.Uint64(b[24:]))},
		Stable:   block.Seq(le.Uint64(b[32:])),
		Controls: le.Uint16(b[54:]),
		Range:    block.Range{First: block.Block(le.Uint64(b[40:])), Count: le.Uint32(b[48:])},
	}
	body := r.bodySize()
	if int(le.Uint16(b[52:])) != body || len(b) < recordHead+body || !r.rangeSound() {
		return 0, ErrContent
	}
	r.decodeBody(b[recordHead:])
	sums := bits.OnesCount16(r.Holds())
	if int(b[2]) != sums || len(b) < recordHead+body+4*sums || !r.bodySound() {
		return 0, ErrContent
	}
	for i := range sums {
		r.Sums[i] = block.Checksum(le.Uint32(b[recordHead+body+4*i:]))
	}
	return recordHead + body + 4*sums, nil
}

func (r *Record) decodeBody(b []byte) {
	switch r.Kind {
	case Map:
		r.Slot = le.Uint32(b)
	case Snap, Open:
		r.Parent = block.LayerID(le.Uint64(b))
	case Resize, Grow:
		r.Blocks = le.Uint64(b)
	case Resync:
		r.LastSeq = block.Seq(le.Uint64(b))
		r.Apply, r.Present, r.Zero = le.Uint16(b[8:]), le.Uint16(b[10:]), le.Uint16(b[12:])
		r.Slot = le.Uint32(b[16:])
	case Config, Reset, Continue:
		r.Meta.decode(b)
	case Create:
		copy(r.Replica[:], b)
		copy(r.Volume[:], b[16:])
		r.Blocks = le.Uint64(b[32:])
		r.From = le.Uint32(b[40:])
		r.Meta.decode(b[48:])
	default:
	}
}

// rangeSound reports whether the range suits the kind: data lies in one chunk.
func (r *Record) rangeSound() bool {
	if uint64(r.Range.First) > 1<<60 {
		return false
	}
	switch r.Kind {
	case Write:
		return r.Range.InOneChunk()
	case Map, Resync:
		return r.Range.Count == block.PerChunk && r.Range.First.Offset() == 0
	default:
		return true
	}
}

func (r *Record) bodySound() bool {
	switch r.Kind {
	case Map:
		return r.Slot != 0
	case Snap, DelSnap, Open, Drop:
		return r.Layer != 0
	case Resize, Grow:
		return r.Blocks > 0 && r.Blocks <= 1<<60
	case Create:
		return (r.From != 0) == (r.Layer != 0)
	case Resync:
		return r.Slot == 0 || r.Holds() == 0xffff
	default:
		return true
	}
}
