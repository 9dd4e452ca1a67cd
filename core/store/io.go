package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// failedStatus is what callers of a store that stopped are answered.
const failedStatus = message.DiskFailed

// ioKind says who waits for a disk operation.
type ioKind uint8

const (
	ioBatch   ioKind = iota // ref: batch sequence within the window of batches
	ioMapData               // ref: queued operation
	ioSync
	ioJob       // ref: job; a read
	ioHome      // ref: job; a write
	ioLeaf      // ref: leaf slot
	ioCkptWrite // a page or parked data of the checkpoint
	ioCkptSync
	ioSuper
	ioSuperSync
	ioOpen // ref: step of recovery
	ioFormat
	ioTimer // not a disk operation
)

// ioSlot is one disk operation in flight. It owns one reference of each piece.
type ioSlot struct {
	generation uint32
	kind       ioKind
	busy       bool
	ref        int32
	mask       uint16 // ioJob: the blocks of the job's chunk that it reads
	pieces     []block.Buffer
}

// begin takes a slot for an operation; pieces are added before emit.
func (s *Store) begin(kind ioKind, ref int32) int32 {
	var i int32
	if n := len(s.freeIOs); n > 0 {
		i = s.freeIOs[n-1]
		s.freeIOs = s.freeIOs[:n-1]
	} else {
		s.ios = append(s.ios, ioSlot{})
		i = int32(len(s.ios) - 1)
	}
	slot := &s.ios[i]
	slot.kind, slot.ref, slot.busy = kind, ref, true
	slot.generation++
	return i
}

// piece adds a buffer whose reference is handed over to operation i.
func (s *Store) piece(i int32, b block.Buffer) { s.ios[i].pieces = append(s.ios[i].pieces, b) }

func (s *Store) emit(i int32, kind step.DiskKind, offset int64, out *step.Effects) {
	slot := &s.ios[i]
	out.Disk = append(out.Disk, step.DiskOp{
		Kind: kind, Tag: step.Tag{Owner: s.params.Owner, Slot: uint32(i), Generation: slot.generation},
		Offset: offset, Pieces: slot.pieces,
	})
}

// timerSlot marks the tags of timers, which have no ioSlot.
const timerSlot = 1 << 31

// Step takes an EventDiskDone or EventTimer whose tag carries the store's owner.
func (s *Store) Step(now step.Time, ev *step.Event, out *step.Effects) {
	s.now = max(s.now, now)
	invariant.That(ev.Tag.Owner == s.params.Owner, "an event goes to the store that asked for it")
	switch ev.Kind {
	case step.EventTimer:
		s.onTimer(ev.Tag, out)
	case step.EventDiskDone:
		s.onDiskDone(ev.Tag, ev.DiskError, out)
	default:
		invariant.That(false, "a store hears of disk operations and timers only")
	}
	s.pump(out)
}

func (s *Store) onDiskDone(tag step.Tag, err step.DiskError, out *step.Effects) {
	if int(tag.Slot) >= len(s.ios) {
		return
	}
	slot := &s.ios[tag.Slot]
	if !slot.busy || slot.generation != tag.Generation {
		return // a late answer to an earlier use
	}
	kind, ref, mask := slot.kind, slot.ref, slot.mask
	for i := range slot.pieces {
		slot.pieces[i].Release()
	}
	clear(slot.pieces)
	slot.pieces, slot.busy = slot.pieces[:0], false
	s.freeIOs = append(s.freeIOs, int32(tag.Slot))
	if s.phase == phaseFailed || s.phase == phaseClosed {
		return
	}
	s.complete(kind, ref, mask, err, out)
}

// complete hands the outcome of an operation to who waits for it.
func (s *Store) complete(kind ioKind, ref int32, mask uint16, err step.DiskError, out *step.Effects) {
	if retrySync && err != step.DiskOK && (kind == ioSync || kind == ioCkptSync || kind == ioSuperSync) {
		out.Marks.Hit("mutant: sync retry")
		s.emit(s.begin(kind, ref), step.DiskSync, 0, out)
		return
	}
	if err != step.DiskOK && kind != ioJob && kind != ioLeaf && kind != ioOpen {
		s.fail(out, "disk %v: %s returned an error: nothing written since the last completed sync is trusted; the disk is to be opened anew", s.super.Disk, kind.name())
		return
	}
	switch kind {
	case ioBatch:
		s.onBatchWritten(uint64(ref), out)
	case ioMapData:
		s.onMapWritten(ref, out)
	case ioSync:
		s.onSynced(out)
	case ioJob:
		s.onJobRead(ref, mask, err, out)
	case ioHome:
		s.onHomeWritten(ref, out)
	case ioLeaf:
		s.onLeafRead(ref, err, out)
	case ioCkptWrite:
		s.onCheckpointWritten(out)
	case ioCkptSync:
		s.onCheckpointSynced(out)
	case ioSuper:
		s.onSuperWritten(out)
	case ioSuperSync:
		s.onSuperSynced(out)
	case ioOpen:
		s.onOpenIO(ref, err, out)
	case ioFormat:
		s.onFormatIO(out)
	case ioTimer:
	}
}

func (k ioKind) name() string {
	switch k {
	case ioBatch:
		return "a journal write"
	case ioMapData, ioHome:
		return "a data write"
	case ioSync, ioCkptSync, ioSuperSync:
		return "a sync"
	case ioCkptWrite:
		return "a metadata write"
	case ioSuper:
		return "a superblock write"
	default:
		return "an operation"
	}
}
