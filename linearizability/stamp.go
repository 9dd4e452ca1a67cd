package linearizability

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
)

// StampSize is the least size of a block that holds a stamp.
const StampSize = 64

const (
	stampMagic = 0x504d5453 // "STMP"
	stampHead  = 48         // bytes before the filler
	seqBits    = 48         // of a value, below the writer's 16
)

var (
	// ErrDamaged is the cause when a block holds neither zeroes nor one whole
	// stamp: it is torn, mixed or corrupt.
	ErrDamaged = errors.New("damaged content")
	// ErrMisplaced is the cause when a block holds another block's stamp.
	ErrMisplaced = errors.New("misplaced content")
)

// Stamp says who wrote a block: the content of a block under test. Every write
// of one writer has its own Seq, so that a value names its write.
//
//	0      4     8        24      32       40       48
//	| magic | crc | volume | block | value  | seed  | filler … |
//
// crc covers bytes 8 to 48. The filler is a sequence drawn from seed, a hash
// of all the rest, so that a sector of another stamp is noticed.
type Stamp struct {
	Volume block.VolumeID
	Block  block.Block
	Writer uint16
	Seq    uint64 // from 1, below 1<<48; 0 only in the zero Stamp: a block never written
}

// Value returns what a history calls the content: unique per volume and block,
// 0 for a block that was never written.
func (s Stamp) Value() uint64 { return uint64(s.Writer)<<seqBits | s.Seq }

// Encode fills data, one block, with s.
func (s Stamp) Encode(data []byte) {
	invariant.That(len(data) >= StampSize && len(data)%8 == 0, "a block has room for a stamp")
	invariant.That(s.Seq > 0 && s.Seq < 1<<seqBits, "a stamp's sequence number fits")
	le := binary.LittleEndian
	le.PutUint32(data, stampMagic)
	copy(data[8:24], s.Volume[:])
	le.PutUint64(data[24:], uint64(s.Block))
	le.PutUint64(data[32:], s.Value())
	seed := s.seed()
	le.PutUint64(data[40:], seed)
	le.PutUint32(data[4:], uint32(block.ChecksumOf(data[8:stampHead])))
	for i := stampHead; i < len(data); i += 8 {
		le.PutUint64(data[i:], scramble(seed+uint64(i)))
	}
}

// Decode reads the stamp that block b of a volume holds. The zero Stamp stands
// for a block of zeroes. Errors are ErrDamaged and ErrMisplaced.
func Decode(data []byte, volume block.VolumeID, b block.Block) (Stamp, error) {
	invariant.That(len(data) >= StampSize && len(data)%8 == 0, "a block has room for a stamp")
	le := binary.LittleEndian
	if le.Uint32(data) != stampMagic {
		if at := firstNonZero(data); at >= 0 {
			return Stamp{}, fmt.Errorf("%w: byte %d is neither a stamp's nor zero", ErrDamaged, at)
		}
		return Stamp{}, nil
	}
	if le.Uint32(data[4:]) != uint32(block.ChecksumOf(data[8:stampHead])) {
		return Stamp{}, fmt.Errorf("%w: the stamp's checksum is wrong", ErrDamaged)
	}
	value := le.Uint64(data[32:])
	s := Stamp{
		Volume: block.VolumeID(data[8:24]),
		Block:  block.Block(le.Uint64(data[24:])),
		Writer: uint16(value >> seqBits),
		Seq:    value & (1<<seqBits - 1),
	}
	seed := s.seed()
	if s.Seq == 0 || le.Uint64(data[40:]) != seed {
		return Stamp{}, fmt.Errorf("%w: no stamp looks like this", ErrDamaged)
	}
	for i := stampHead; i < len(data); i += 8 {
		if le.Uint64(data[i:]) != scramble(seed+uint64(i)) {
			return Stamp{}, fmt.Errorf("%w: stamp %s, but byte %d is not its filler", ErrDamaged, s, i)
		}
	}
	if s.Volume != volume || s.Block != b {
		return Stamp{}, fmt.Errorf("%w: stamp %s", ErrMisplaced, s)
	}
	return s, nil
}

func (s Stamp) String() string {
	return fmt.Sprintf("%s of volume %s block %d", valueText(s.Value()), s.Volume, s.Block)
}

func (s Stamp) seed() uint64 {
	le := binary.LittleEndian
	h := scramble(le.Uint64(s.Volume[:8]))
	h = scramble(h ^ le.Uint64(s.Volume[8:]))
	h = scramble(h ^ uint64(s.Block))
	return scramble(h ^ s.Value())
}

// scramble is a step of splitmix64: neighbours in, strangers out.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func firstNonZero(data []byte) int {
	for i, b := range data {
		if b != 0 {
			return i
		}
	}
	return -1
}

// valueText names a value as writer:seq.
func valueText(value uint64) string {
	if value == 0 {
		return "zeroes"
	}
	return fmt.Sprintf("%d:%d", value>>seqBits, value&(1<<seqBits-1))
}
