package format

import (
	"encoding/binary"
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
)

var le = binary.LittleEndian // constant table

const superblockMagic = 0x4253474c // "LGSB"

// Feature bits that this version understands. A superblock with others is
// refused by name.
const featuresKnown = 0

// Superblock is the entry to everything on a disk.
type Superblock struct {
	Pool      block.ID // drawn at format; in every structure
	Disk      block.DiskID
	Sequence  uint64 // of the superblock; the newest wins
	Settled   uint64 // the newest sequence known to be durable in all copies when this was written
	Capacity  int64
	BlockSize uint32
	Journal   Journal
	Root      Child // the root page
	Bitmap    Child // the top of the bitmap's tree
	Clean     bool  // closed in order: Journal.Durable is the last batch
}

// Journal says where the ring lies and where recovery starts to read it.
// Positions are bytes ever written; the place in the ring is the remainder by
// Length.
type Journal struct {
	Length    int64
	Tail      uint64 // position of the first batch that recovery reads
	TailBatch uint64 // that batch's sequence number
	TailPrev  uint32 // crc of the header before it
	OpenCount uint64 // raised by every open: the generation of its batches
	Durable   uint64 // a batch known to be durable when this was written
}

// Encode writes s to page as the copy at address.
func (s *Superblock) Encode(page []byte, address int64) {
	clear(page)
	le.PutUint32(page[0:], superblockMagic)
	le.PutUint16(page[4:], Version)
	if s.Clean {
		le.PutUint16(page[6:], 1)
	}
	copy(page[12:28], s.Pool[:])
	le.PutUint64(page[28:], uint64(address))
	copy(page[36:52], s.Disk[:])
	le.PutUint64(page[52:], s.Sequence)
	le.PutUint64(page[60:], uint64(s.Capacity))
	le.PutUint32(page[68:], s.BlockSize)
	le.PutUint32(page[72:], block.PerChunk)
	le.PutUint64(page[76:], 0) // features needed to read; none exist yet
	le.PutUint64(page[84:], JournalOffset)
	le.PutUint64(page[92:], uint64(s.Journal.Length))
	le.PutUint64(page[100:], s.Journal.Tail)
	le.PutUint64(page[108:], s.Journal.TailBatch)
	le.PutUint32(page[116:], s.Journal.TailPrev)
	le.PutUint64(page[120:], s.Journal.OpenCount)
	le.PutUint64(page[128:], s.Journal.Durable)
	s.Root.encode(page[136:])
	s.Bitmap.encode(page[160:])
	le.PutUint64(page[184:], s.Settled)
	le.PutUint32(page[8:], crcWithout(page[:PageSize], 8))
}

// DecodeSuperblock reads the copy at address.
func DecodeSuperblock(page []byte, address int64) (Superblock, error) {
	var s Superblock
	switch {
	case len(page) < PageSize || le.Uint32(page) != superblockMagic:
		return s, ErrMagic
	case crcWithout(page[:PageSize], 8) != le.Uint32(page[8:]):
		return s, ErrChecksum
	case le.Uint16(page[4:]) > Version || le.Uint64(page[76:])&^featuresKnown != 0:
		return s, &NewerError{Version: le.Uint16(page[4:]), Features: le.Uint64(page[76:]) &^ featuresKnown}
	case int64(le.Uint64(page[28:])) != address:
		return s, ErrPlace
	}
	s.Clean = le.Uint16(page[6:]) == 1
	copy(s.Pool[:], page[12:28])
	copy(s.Disk[:], page[36:52])
	s.Sequence = le.Uint64(page[52:])
	s.Capacity = int64(le.Uint64(page[60:]))
	s.BlockSize = le.Uint32(page[68:])
	s.Journal = Journal{
		Length: int64(le.Uint64(page[92:])), Tail: le.Uint64(page[100:]), TailBatch: le.Uint64(page[108:]),
		TailPrev: le.Uint32(page[116:]), OpenCount: le.Uint64(page[120:]), Durable: le.Uint64(page[128:]),
	}
	s.Root.decode(page[136:])
	s.Bitmap.decode(page[160:])
	s.Settled = le.Uint64(page[184:])
	if !s.sound(page) {
		return Superblock{}, ErrContent
	}
	return s, nil
}

// sound reports whether what s says can be true.
func (s *Superblock) sound(page []byte) bool {
	bs := s.BlockSize
	return bs >= 64 && bs <= PageSize && bs&(bs-1) == 0 &&
		le.Uint32(page[72:]) == block.PerChunk && le.Uint64(page[84:]) == JournalOffset &&
		s.Journal.Length > 0 && s.Journal.Length%PageSize == 0 && s.Journal.TailBatch > 0 &&
		s.Journal.Tail%PageSize == 0 && s.Journal.Length < s.Capacity-JournalOffset
}

// NewerError refuses a superblock that a newer version wrote, and says what of it
// is not known here.
type NewerError struct {
	Version  uint16 // of the format
	Features uint64 // the bits that this version does not know
}

// Error implements error.
func (e *NewerError) Error() string {
	if e.Version > Version {
		return fmt.Sprintf("it has version %d of the format, this version of Lagan reads up to %d", e.Version, Version)
	}
	return fmt.Sprintf("reading it needs the features %#x of the format, which this version of Lagan does not know", e.Features)
}

// Is makes a NewerError one of the kind ErrVersion.
func (e *NewerError) Is(target error) bool { return target == ErrVersion }

// Superblocks is what the copies on a disk decode to.
type Superblocks struct {
	Copies [SuperblockCopies]Superblock
	Errs   [SuperblockCopies]error // why a copy cannot be used
}

// Agree reports whether two copies are whole and say the same.
func (s *Superblocks) Agree(i, k int) bool {
	return s.Errs[i] == nil && s.Errs[k] == nil && s.Copies[i] == s.Copies[k]
}

// Winner returns the newest copy that another one agrees with; -1: no two agree.
func (s *Superblocks) Winner() int {
	best := -1
	for i := range s.Copies {
		for k := range i {
			if s.Agree(i, k) && (best < 0 || s.Copies[i].Sequence > s.Copies[best].Sequence) {
				best = i
			}
		}
	}
	return best
}

// Newest returns the highest sequence of any copy, and the highest that any says
// was once durable in all of them.
func (s *Superblocks) Newest() (sequence, settled uint64) {
	for i := range s.Copies {
		if s.Errs[i] == nil {
			sequence, settled = max(sequence, s.Copies[i].Sequence), max(settled, s.Copies[i].Settled)
		}
	}
	return sequence, settled
}
