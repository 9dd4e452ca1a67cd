package store

import (
	"errors"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/slots"
)

// openStep is how far recovery is.
//
//	supers ─▶ mark ─▶ pages ─▶ scan ─▶ verify ─▶ erase ─▶ sync ─▶ open
//
// supers reads the four superblocks, mark makes the winner durable, then writes
// all anew with a higher openCount (rules 9, 12), pages walks the root, scan
// reads the whole ring, verify proves and writes anew what no header calls
// durable (rule 11), erase makes sure that what was cut stays cut.
type openStep uint8

const (
	openSupers openStep = iota
	openMark
	openPages
	openScan
	openVerify
	openErase
	openSync
)

// openReads is how many reads of recovery are in flight.
const openReads = 8

// opening is what recovery needs only until the store is open.
type opening struct {
	step     openStep
	capacity int64
	supers   [format.SuperblockCopies]block.Buffer
	pending  int
	newest   uint64 // sequence of any superblock
	clean    bool
	walk     walk
	scan     scan
	verify   verify
	parked   []format.Parked
	layers   []layerLink
	heads    map[uint32]uint32 // number of each replica's head
	lost     []*tree           // trees of layers with an unreadable page
}

// Open recovers the store from a disk of capacity bytes. Result: Opened or Failed.
func (s *Store) Open(now step.Time, capacity int64, out *step.Effects) {
	s.now = max(s.now, now)
	if s.phase != phaseNew {
		s.fail(out, "the store was opened before: a disk is opened anew by a new store")
		return
	}
	s.phase = phaseOpening
	s.opening = &opening{capacity: capacity, heads: make(map[uint32]uint32)}
	o := s.opening
	for i := range o.supers {
		o.supers[i] = s.params.Pool.Get(format.PageSize)
		o.pending++
		s.openRead(int32(i), o.supers[i], int64(i)*format.SuperblockStride, out)
	}
}

// openRead reads into a buffer that recovery keeps.
func (s *Store) openRead(ref int32, b block.Buffer, offset int64, out *step.Effects) {
	io := s.begin(ioOpen, ref)
	s.piece(io, b.Retain())
	s.emit(io, step.DiskRead, offset, out)
}

func (s *Store) onOpenIO(ref int32, err step.DiskError, out *step.Effects) {
	o := s.opening
	o.pending--
	switch o.step {
	case openSupers:
		if err != step.DiskOK {
			clear(o.supers[ref].Bytes())
		}
		if o.pending == 0 {
			s.chooseSuper(out)
		}
	case openPages:
		s.onPageRead(ref, err, out)
	case openScan:
		s.onSegmentRead(ref, err, out)
	case openVerify:
		s.onVerifyIO(ref, err, out)
	case openErase:
		s.onErased(err, out)
	case openSync:
		if err != step.DiskOK {
			s.fail(out, "disk %v: the sync that ends recovery returned an error; the disk cannot be trusted with writes", s.super.Disk)
			return
		}
		s.opened(out)
	case openMark: // the superblock writer hears of those
	}
}

// chooseSuper finds the newest superblock that two copies agree on (rule 12).
func (s *Store) chooseSuper(out *step.Effects) {
	o := s.opening
	var found format.Superblocks
	for i := range found.Copies {
		found.Copies[i], found.Errs[i] = format.DecodeSuperblock(o.supers[i].Bytes(), int64(i)*format.SuperblockStride)
		o.supers[i].Release()
	}
	copies, best := &found.Copies, found.Winner()
	newest, settled := found.Newest()
	switch {
	case best < 0:
		s.failSuper(&found.Errs, out)
		return
	case settled > copies[best].Sequence:
		s.fail(out, "disk %v: sequence %d of the superblock was once in all copies, but no two are newer than %d: they are from an older image of the disk; restore them or format it", copies[best].Disk, settled, copies[best].Sequence)
		return
	case copies[best].Capacity > o.capacity:
		s.fail(out, "disk %v: it was formatted with %d bytes, the device has %d: it was cut short", copies[best].Disk, copies[best].Capacity, o.capacity)
		return
	}
	s.super = copies[best]
	o.newest = newest
	s.superSlot.order, s.superSlot.holders = superOrder(func(i int) bool { return found.Agree(i, best) || i == best })
	s.geometry()
	s.prepare()
	o.step = openMark
	s.keepSuper(out)
}

// superOrder returns in which order the copies are written so that two that
// hold the winner stay whole until two others are durable, and how many do.
func superOrder(holds func(int) bool) (order [format.SuperblockCopies]int, holders int) {
	n := 0
	for _, want := range []bool{false, true} {
		for i := range format.SuperblockCopies {
			if holds(i) == want {
				order[n] = i
				n++
				if want {
					holders++
				}
			}
		}
	}
	return order, holders
}

// markOpen raises openCount once the winner is durable.
func (s *Store) markOpen(out *step.Effects) {
	o := s.opening
	s.super.Sequence = o.newest // whatever was begun and not finished is older than what comes now
	o.clean, s.super.Clean = s.super.Clean, false
	s.super.Journal.OpenCount++
	s.writeSuper(superOpen, out)
}

// failSuper says why no superblock can be used.
func (s *Store) failSuper(errs *[format.SuperblockCopies]error, out *step.Effects) {
	for _, err := range errs {
		if errors.Is(err, format.ErrVersion) {
			s.fail(out, "the disk was written by a newer version of Lagan: %s: upgrade this node", err.Error())
			return
		}
	}
	s.fail(out, "no two of the disk's four superblocks agree (%v; %v; %v; %v): it is not a Lagan disk, or it is damaged; format it to use it, its replicas are then made anew from the others",
		errText(errs[0]), errText(errs[1]), errText(errs[2]), errText(errs[3]))
}

func errText(err error) string {
	if err == nil {
		return "whole, but alone"
	}
	return err.Error()
}

// prepare makes the empty tables that recovery fills.
func (s *Store) prepare() {
	s.slots = slots.New(s.slotsOf(s.super.Capacity), format.BitmapSlots)
	s.pages = pageSpace{used: make(map[uint32]uint16)}
	s.leaves.init(s.limits.CacheBytes)
	s.bitmap = s.newTree(uint64(s.slots.Groups()))
}

// superOpened goes on once openCount is durable.
func (s *Store) superOpened(out *step.Effects) {
	s.opening.step = openPages
	s.startWalk(out)
}

// opened ends recovery.
func (s *Store) opened(out *step.Effects) {
	j := &s.journal
	j.durable, j.durableAt = j.accepted, j.head
	for _, r := range s.replicas {
		r.durable = r.last.Seq
		r.appended, r.entered = r.last, r.last.Seq
		r.stable = min(r.stable, r.last.Seq) // what was cut off is not stable here, nor what will take its place
		r.journaled, r.homeable = r.stable, r.stable
	}
	if s.opening.scan.damaged {
		s.ckpt.wanted = true
	}
	s.opening = nil
	s.phase = phaseOpen
	s.timer.touched = s.now
	s.ripen()
	s.result(Result{Kind: Opened})
}
