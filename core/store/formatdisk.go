package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/slots"
)

const (
	journalDefault = 1 << 30
	zeroPiece      = 64 << 10
	zeroWrites     = 8 // in flight
)

// formatting is how far Format is: the old superblocks go first, so that a disk
// half formatted is not taken for the old one.
//
//	erase ─▶ sync ─▶ zero the ring, write the root ─▶ sync ─▶ superblocks
type formatting struct {
	synced  bool
	ready   bool // the second sync is on its way
	pending int
	next    int64
	zero    block.Buffer
}

// Format writes an empty store over the disk. Result: Formatted or Failed.
func (s *Store) Format(now step.Time, g Geometry, out *step.Effects) {
	s.now = max(s.now, now)
	if s.phase != phaseNew {
		s.fail(out, "the store is in use: a disk is formatted by a new store")
		return
	}
	s.phase = phaseFormatting
	if !s.layOut(g, out) {
		return
	}
	s.format = &formatting{zero: s.params.Pool.Get(zeroPiece)}
	clear(s.format.zero.Bytes())
	for i := range format.SuperblockCopies {
		s.formatZero(int64(i)*format.SuperblockStride, format.PageSize, out)
	}
}

// layOut turns a geometry into a superblock.
func (s *Store) layOut(g Geometry, out *step.Effects) bool {
	bs := g.BlockSize
	if bs == 0 {
		bs = block.Size
	}
	if bs < 64 || bs > block.Size || bs&(bs-1) != 0 {
		s.fail(out, "cannot format with blocks of %d bytes: they must be a power of two from 64 to %d", bs, block.Size)
		return false
	}
	length := g.JournalBytes
	if length == 0 {
		length = min(journalDefault, g.Capacity/16)
	}
	length = length / format.PageSize * format.PageSize
	least := int64(16 * (format.HeaderPagesMax*format.PageSize + pageUp(block.PerChunk*bs)))
	length = max(length, least)
	s.super = format.Superblock{
		Pool: s.uuid(), Disk: g.Disk, Sequence: 1, Capacity: g.Capacity, BlockSize: uint32(bs), Clean: true,
		Journal: format.Journal{Length: length, TailBatch: 1},
	}
	s.geometry()
	if n := s.slotsOf(g.Capacity); n < leastSlots {
		s.fail(out, "cannot format %d bytes: behind superblocks and a journal of %d there is room for %d chunks, at least %d are needed", g.Capacity, length, n, leastSlots)
		return false
	}
	return true
}

// leastSlots is what metadata and reserves take on the smallest disk that is
// of any use.
const leastSlots = 64

func (s *Store) formatZero(offset, length int64, out *step.Effects) {
	io := s.begin(ioFormat, 0)
	for at := int64(0); at < length; at += zeroPiece {
		s.piece(io, s.format.zero.Slice(0, int(min(zeroPiece, length-at))).Retain())
	}
	s.emit(io, step.DiskWrite, offset, out)
	s.format.pending++
}

func (s *Store) onFormatIO(out *step.Effects) {
	f := s.format
	if f.pending--; f.pending > 0 && !f.synced {
		return
	}
	if !f.synced {
		f.synced = true
		f.pending++
		s.emit(s.begin(ioFormat, 0), step.DiskSync, 0, out)
		return
	}
	if f.next == 0 && !f.ready {
		s.formatRoot(out)
	}
	length := s.super.Journal.Length
	for f.next < length && f.pending < zeroWrites {
		n := min(1<<20, length-f.next)
		s.formatZero(format.JournalOffset+f.next, n, out)
		f.next += n
	}
	if f.pending > 0 {
		return
	}
	if !f.ready {
		f.ready = true
		f.pending++
		s.emit(s.begin(ioFormat, 0), step.DiskSync, 0, out)
		return
	}
	f.zero.Release()
	s.superSlot.order = [format.SuperblockCopies]int{0, 1, 2, 3}
	s.writeSuper(superFormat, out)
}

// formatRoot writes the root page of an empty disk.
func (s *Store) formatRoot(out *step.Effects) {
	s.slots = slots.New(s.slotsOf(s.super.Capacity), format.BitmapSlots)
	s.pages = pageSpace{used: make(map[uint32]uint16)}
	page, _ := s.allocPage()
	b := s.params.Pool.Get(format.PageSize)
	format.EncodeRoot(b.Bytes(), &format.Root{NextHandle: 1, NextLayer: 1, Volumes: format.Table{Height: 1}, Layers: format.Table{Height: 1}})
	crc := format.SealPage(b.Bytes(), format.PageRoot, s.super.Pool, s.pageAddress(page), 0, 0)
	s.super.Root = format.Child{Page: page, CRC: crc}
	io := s.begin(ioFormat, 0)
	s.piece(io, b)
	s.emit(io, step.DiskWrite, s.pageAddress(page), out)
	s.format.pending++
}
