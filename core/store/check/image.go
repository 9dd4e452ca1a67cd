// Package check reads a disk from the outside, without a store: what its newest
// root says, who owns what of it, what its journal has, and whether all of it is
// what was written. It changes nothing, trusts nothing that it reads, and never
// panics, whatever lies on the disk.
//
//	Open ──▶ Image ─┬─ Tables    root, volumes, layers: every page, every slot's owner
//	                ├─ Journal   batches as an opening would find them
//	                └─ Run       all of that, every checksum of data, and a Report
//
// lagan disk fsck prints a Report and lagan disk dump an Image; the store's tests
// and the simulated world hold disks at rest against it.
package check

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/format"
)

// Image is a disk whose superblock could be read.
type Image struct {
	Superblocks format.Superblocks
	Super       format.Superblock // the one that an opening would take
	Slots       int               // that the disk has room for

	disk io.ReaderAt
	base int64 // where slot 1 is
	slot int64 // bytes of one
}

// Open reads the superblocks of a disk of size bytes.
func Open(disk io.ReaderAt, size int64) (*Image, error) {
	im := &Image{disk: disk}
	page := make([]byte, format.PageSize)
	for i := range im.Superblocks.Copies {
		at := int64(i) * format.SuperblockStride
		if err := im.read(page, at); err != nil {
			im.Superblocks.Errs[i] = err
			continue
		}
		im.Superblocks.Copies[i], im.Superblocks.Errs[i] = format.DecodeSuperblock(page, at)
	}
	best := im.Superblocks.Winner()
	if best < 0 {
		return nil, noSuperblock(&im.Superblocks)
	}
	im.Super = im.Superblocks.Copies[best]
	s := &im.Super
	_, settled := im.Superblocks.Newest()
	switch {
	case settled > s.Sequence:
		return nil, fmt.Errorf("sequence %d of the superblock was once in all copies, but no two are newer than %d: they are from an older image of the disk", settled, s.Sequence)
	case s.Capacity > size:
		return nil, fmt.Errorf("it was formatted with %d bytes and has %d: it was cut short", s.Capacity, size)
	}
	im.slot = max(format.PageSize, int64(block.PerChunk*s.BlockSize))
	im.base = (format.JournalOffset + s.Journal.Length + im.slot - 1) / im.slot * im.slot
	im.Slots = int(max(0, (s.Capacity-im.base)/im.slot))
	return im, nil
}

// noSuperblock says why none of the copies can be used.
func noSuperblock(s *format.Superblocks) error {
	var texts []string
	for _, err := range s.Errs {
		switch {
		case errors.Is(err, format.ErrVersion):
			return fmt.Errorf("it was written by a newer version of Lagan: %w: use lagan of that version", err)
		case err == nil:
			texts = append(texts, "whole, but alone")
		default:
			texts = append(texts, err.Error())
		}
	}
	return fmt.Errorf("no two of the four superblocks agree (%s): it is not a disk of Lagan, or its beginning is lost", strings.Join(texts, "; "))
}

// read fills b with what lies at a place.
func (im *Image) read(b []byte, at int64) error {
	n, err := im.disk.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("it lies behind the disk's end, at %d", at)
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(b), at, err)
}

// SlotAt returns where a slot lies.
func (im *Image) SlotAt(slot uint32) int64 { return im.base + int64(slot-1)*im.slot }

// slotOf returns the slot of a place; false if none is there.
func (im *Image) slotOf(at int64) (slot uint32, ok bool) {
	if at < im.base || (at-im.base)/im.slot >= int64(im.Slots) {
		return 0, false
	}
	return uint32((at-im.base)/im.slot) + 1, true
}

// ringAt returns where a position of the journal lies.
func (im *Image) ringAt(position uint64) int64 {
	return format.JournalOffset + int64(position%uint64(im.Super.Journal.Length))
}

// Chunk reads the blocks of a descriptor's slot.
func (im *Image) Chunk(slot uint32) ([]byte, error) {
	data := make([]byte, block.PerChunk*im.Super.BlockSize)
	if slot == 0 || int(slot) > im.Slots {
		return nil, fmt.Errorf("there is no slot %d", slot)
	}
	return data, im.read(data, im.SlotAt(slot))
}
