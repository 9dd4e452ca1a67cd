package format

import (
	"math/bits"

	"github.com/lagan-storage/lagan/core/block"
)

// PageKind says what a metadata page holds.
type PageKind uint16

// The kinds of page. Values are part of the disk format.
const (
	PageInvalid  PageKind = iota
	PageRoot              // Root
	PageTable             // Volume entries
	PageInterior          // Child entries
	PageLeaf              // Descriptors
	PageBitmap            // one bit a slot
	PageParked            // records moved out of the journal
	PageLayers            // Layer entries
)

const (
	pageMagic = 0x4750474c // "LGPG"
	// pageHead is {magic u32, version u16, kind u16, crc u32, count u32, pool 16, address u64, index u64, reserved}.
	pageHead = 64
	// PageBody is what a page holds behind its head.
	PageBody = PageSize - pageHead

	// Fanout is how many children an interior page has.
	Fanout = PageBody / childSize
	// LeafChunks is how many chunks a leaf describes.
	LeafChunks = 48
	// BitmapSlots is how many slots a bitmap page covers.
	BitmapSlots = PageBody * 8
	// TableVolumes is how many entries a page of the volume table holds.
	TableVolumes = PageBody / volumeSize
	// TableLayers is how many entries a page of the layer table holds.
	TableLayers = PageBody / layerSize

	childSize      = 24
	descriptorSize = 80
)

// SealPage completes a page whose body is written: count and index are for its
// reader, address is where it goes. It returns the checksum for its parent.
func SealPage(page []byte, kind PageKind, pool block.ID, address int64, count int, index uint64) uint32 {
	clear(page[:pageHead])
	le.PutUint32(page[0:], pageMagic)
	le.PutUint16(page[4:], Version)
	le.PutUint16(page[6:], uint16(kind))
	le.PutUint32(page[12:], uint32(count))
	copy(page[16:32], pool[:])
	le.PutUint64(page[32:], uint64(address))
	le.PutUint64(page[40:], index)
	crc := crcWithout(page[:PageSize], 8)
	le.PutUint32(page[8:], crc)
	return crc
}

// OpenPage checks a page against what its parent and address say and returns
// its body and count.
func OpenPage(page []byte, kind PageKind, pool block.ID, address int64, crc uint32, index uint64) (body []byte, count int, err error) {
	switch {
	case len(page) < PageSize || le.Uint32(page) != pageMagic:
		return nil, 0, ErrMagic
	case le.Uint32(page[8:]) != crc || crcWithout(page[:PageSize], 8) != crc:
		return nil, 0, ErrChecksum
	case le.Uint16(page[4:]) > Version:
		return nil, 0, ErrVersion
	case int64(le.Uint64(page[32:])) != address || block.ID(page[16:32]) != pool,
		le.Uint16(page[6:]) != uint16(kind) || le.Uint64(page[40:]) != index:
		return nil, 0, ErrPlace
	}
	return page[pageHead:PageSize], int(le.Uint32(page[12:])), nil
}

// Child is a parent's reference to a page below it. Page 0 is no page.
type Child struct {
	Page    uint64 // address / PageSize, 40 bits
	CRC     uint32
	AllZero bool // of a leaf without page: every block of it was zeroed
	MaxSeq  block.Seq
	Has     uint64 // of a leaf: bit i: chunk i has anything; 48 bits
}

func (c *Child) encode(b []byte) {
	le.PutUint64(b, c.Page&(1<<40-1))
	if c.AllZero {
		b[5] = 1
	}
	le.PutUint64(b[4+8:], uint64(c.MaxSeq))
	le.PutUint32(b[8:], c.CRC)
	le.PutUint32(b[20:], uint32(c.Has))
	le.PutUint16(b[6:], uint16(c.Has>>32))
}

func (c *Child) decode(b []byte) {
	c.Page = le.Uint64(b) & (1<<40 - 1)
	c.AllZero = b[5] == 1
	c.MaxSeq = block.Seq(le.Uint64(b[12:]))
	c.CRC = le.Uint32(b[8:])
	c.Has = uint64(le.Uint32(b[20:])) | uint64(le.Uint16(b[6:]))<<32
}

// EncodeInterior writes children into the body of an interior page.
func EncodeInterior(page []byte, children *[Fanout]Child) {
	for i := range children {
		children[i].encode(page[pageHead+i*childSize:])
	}
}

// DecodeInterior reads the body of an interior page.
func DecodeInterior(body []byte, children *[Fanout]Child) {
	for i := range children {
		children[i].decode(body[i*childSize:])
	}
}

// State is what a descriptor says about a block.
type State uint32

// The states of a block. Values are part of the disk format.
const (
	Absent  State = iota // the parent layer decides; without one it reads as zeroes
	Zero                 // zeroed
	Present              // in the chunk's slot, with a checksum
	Bad                  // its content is lost: an error until it is overwritten
)

// Descriptor says where a chunk's content is. The zero Descriptor is of a chunk
// that was never written.
type Descriptor struct {
	Slot    uint32 // 0: no block is present
	States  uint32 // two bits a block
	LastSeq block.Seq
	Sums    block.Checksums
}

// State returns the state of block i.
func (d *Descriptor) State(i int) State { return State(d.States >> (2 * i) & 3) }

// Set changes the state of block i.
func (d *Descriptor) Set(i int, s State, sum block.Checksum) {
	d.States = d.States&^(3<<(2*i)) | uint32(s)<<(2*i)
	d.Sums[i] = sum
}

// Empty reports whether the chunk was never changed.
func (d *Descriptor) Empty() bool { return d.States == 0 && d.LastSeq == 0 }

// Has returns the blocks that the descriptor's layer has: those below it are not read.
func (d *Descriptor) Has() (mask uint16) {
	for i := range block.PerChunk {
		if d.State(i) != Absent {
			mask |= 1 << i
		}
	}
	return mask
}

// HasPresent reports whether any block is present.
func (d *Descriptor) HasPresent() bool {
	return d.States>>1&^d.States&0x5555_5555 != 0
}

// allZero is the States of a chunk whose blocks were all zeroed.
const allZero = 0x5555_5555

// Leaf is the descriptors of 48 neighbouring chunks.
type Leaf [LeafChunks]Descriptor

// Summary returns what the leaf's parent notes about it: the newest change, the
// chunks that have anything, and whether a page can be saved because every
// block was zeroed.
func (l *Leaf) Summary() (maxSeq block.Seq, has uint64, zeroed bool) {
	zeroed = true
	for i := range l {
		d := &l[i]
		maxSeq = max(maxSeq, d.LastSeq)
		if !d.Empty() {
			has |= 1 << i
		}
		zeroed = zeroed && d.States == allZero
	}
	return maxSeq, has, zeroed
}

// FillZero makes l the leaf of a child with AllZero.
func (l *Leaf) FillZero(maxSeq block.Seq) {
	for i := range l {
		l[i] = Descriptor{States: allZero, LastSeq: maxSeq}
	}
}

// EncodeLeaf writes l into the body of a leaf page.
func EncodeLeaf(page []byte, l *Leaf) {
	clear(page[pageHead+LeafChunks*descriptorSize : PageSize])
	for i := range l {
		b := page[pageHead+i*descriptorSize:]
		le.PutUint32(b, l[i].Slot)
		le.PutUint32(b[4:], l[i].States)
		le.PutUint64(b[8:], uint64(l[i].LastSeq))
		for j, sum := range l[i].Sums {
			le.PutUint32(b[16+4*j:], uint32(sum))
		}
	}
}

// DecodeLeaf reads the body of a leaf page of a pool with slots 1..slots.
func DecodeLeaf(body []byte, slots uint32, l *Leaf) error {
	for i := range l {
		b := body[i*descriptorSize:]
		d := &l[i]
		d.Slot, d.States, d.LastSeq = le.Uint32(b), le.Uint32(b[4:]), block.Seq(le.Uint64(b[8:]))
		for j := range d.Sums {
			d.Sums[j] = block.Checksum(le.Uint32(b[16+4*j:]))
		}
		if d.Slot > slots || (d.Slot != 0) != d.HasPresent() {
			return ErrContent
		}
	}
	return nil
}

// EncodeBitmap writes words, one bit a slot, into the body of a bitmap page.
func EncodeBitmap(page []byte, words []uint64) {
	clear(page[pageHead:PageSize])
	for i, w := range words {
		le.PutUint64(page[pageHead+8*i:], w)
	}
}

// DecodeBitmap reads the body of a bitmap page and returns how many bits are set.
func DecodeBitmap(body []byte, words []uint64) (set int) {
	for i := range words {
		words[i] = le.Uint64(body[8*i:])
		set += bits.OnesCount64(words[i])
	}
	return set
}
