// Package disk is a simulated disk: what a store's reads, writes and syncs do
// to a device that caches, reorders, tears, forgets and lies, all of it drawn
// from one seed.
//
//	Submit ──▶ [ in flight ] ──Complete──▶ [ cached, un-synced ] ──Sync──▶ [ durable ]
//	                │                              │
//	              Kill: none, all or some      PowerLoss: per sector any version
//	              of the sectors arrive        from the durable to the newest one
//
// It owns the content of the device and every decision about it; it owns no
// clock: Submit draws how long the operation takes, and whoever runs the world
// calls Complete when that time has come, in any order it likes. The same seed
// and the same calls give the same disk, byte for byte, and removing one fault
// leaves the draws of all others as they were.
//
// A sector is the unit that never tears: a write of part of one is atomic, a
// write of several may arrive in any subset of them. Its callers are the
// simulated world and the tests of the store. It is not safe for concurrent use.
package disk

import (
	"time"

	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/step"
)

// Handle names an operation in flight. It is used anew after Complete.
type Handle uint32

// Params is what a disk is made from.
type Params struct {
	Size   int64  // bytes; content that was never written costs nothing and reads as zeroes
	Seed   uint64 // of every draw
	Sector int    // bytes, a power of two from 64 to 4096; 0: drawn, 512 or 4096
	Faults Faults
	Memory *Memory // nil: nobody shares it
}

// Disk is one simulated device.
type Disk struct {
	size   int64
	seed   uint64
	faults Faults
	content
	unsynced  undoLog
	flight    []flight
	unused    []Handle // slots of flight that are free
	ops       uint64   // submitted so far: the number of the newest operation
	written   uint64   // writes completed so far: what a Sync covers
	crashes   uint64
	incidents []Incident
	counts    [KindCount]uint64
	shadow    *Disk // see Shadow
}

// flight is an operation between Submit and Complete.
type flight struct {
	active bool
	op     step.DiskOp
	number uint64
	cover  uint64    // Sync: the writes completed by its submission
	early  selection // Write: the sectors that were in the cache before completion
	logged int       // how many entries of unsynced those early sectors have
	fault  Kind      // what happens to it; None for most
	offset int64     // where it really goes: not op.Offset when misdirected
}

// New returns a disk full of zeroes.
func New(p Params) *Disk {
	sector := p.Sector
	if sector == 0 {
		sector = 512
		if d := drawsOf(p.Seed, labelSector, 0); d.oneIn(2) {
			sector = 4096
		}
	}
	invariant.That(sector >= grain && sector <= 4096 && sector&(sector-1) == 0, "a sector is a power of two from 64 to 4096")
	invariant.That(p.Size > 0 && p.Size%4096 == 0, "a disk's size is a multiple of 4096")
	d := &Disk{size: p.Size, seed: p.Seed}
	d.content = content{pages: make([]*page, (p.Size+pageSize-1)>>pageShift), sector: sector, memory: p.Memory}
	if p.Memory == nil {
		d.memory = &Memory{}
	}
	d.owner = d
	d.unsynced = d.memory.takeLog()
	d.SetFaults(p.Faults)
	return d
}

// Size returns the size in bytes.
func (d *Disk) Size() int64 { return d.size }

// Sector returns the bytes that never tear.
func (d *Disk) Sector() int { return d.sector }

// Ops returns how many operations were submitted.
func (d *Disk) Ops() uint64 { return d.ops }

// InFlight returns how many operations have not completed.
func (d *Disk) InFlight() int { return len(d.flight) - len(d.unused) }

// Unsynced returns how many sector versions a power loss could take away.
func (d *Disk) Unsynced() int { return len(d.unsynced.entries) }

// SetFaults replaces the faults from the next operation on; unreadable sectors
// stay unreadable until they are written.
func (d *Disk) SetFaults(f Faults) {
	d.faults = f
	d.thick = f.SpaceMax > 0
}

// Submit starts an operation and draws how long it takes. The operation's
// pieces must stay alive and unchanged until it completes or the disk crashes.
func (d *Disk) Submit(op *step.DiskOp) (Handle, time.Duration) {
	d.ops++
	h := d.slot()
	f := &d.flight[h]
	*f = flight{active: true, op: *op, number: d.ops, offset: op.Offset}
	length := lengthOf(op)
	invariant.That(op.Offset >= 0 && op.Offset%grain == 0 && length%grain == 0, "operations are multiples of 64 bytes")
	f.fault = d.drawFault(op, length)
	switch op.Kind {
	case step.DiskRead:
	case step.DiskSync:
		f.cover = d.written
	case step.DiskWrite:
		if f.fault == None && !d.thick && op.Offset+length <= d.size {
			f.early = drawEarly(d.seed, f.number)
			f.logged = d.apply(f, f.early, 0)
		}
	}
	if f.fault == MisdirectedRead || f.fault == MisdirectedWrite {
		f.offset = d.misdirect(f.number, op.Offset, length)
	}
	return h, d.serviceTime(f, length)
}

// Complete ends an operation. A read has its pieces filled with the content of
// this moment; a write is in the cache; a sync has made durable every write
// that had completed before it was submitted. Where the outcome is DiskEIO, a
// read's pieces are undefined, a write's sectors hold old or new content, and
// nothing un-synced may be trusted after a sync.
func (d *Disk) Complete(h Handle) step.DiskError {
	invariant.That(int(h) < len(d.flight) && d.flight[h].active, "only an operation in flight completes")
	f := &d.flight[h]
	err := d.perform(f)
	*f = flight{}
	d.unused = append(d.unused, h)
	return err
}

func (d *Disk) perform(f *flight) step.DiskError {
	length := lengthOf(&f.op)
	if f.op.Offset+length > d.size {
		return step.DiskShort
	}
	switch f.op.Kind {
	case step.DiskRead:
		return d.read(f, length)
	case step.DiskWrite:
		return d.write(f, length)
	case step.DiskSync:
		return d.sync(f)
	}
	panic(invariant.Broken{Claim: "a disk operation is a read, a write or a sync"})
}

func (d *Disk) read(f *flight, length int64) step.DiskError {
	switch f.fault {
	case ReadError:
		d.record(f, f.op.Offset, length)
		return step.DiskEIO
	case BitRot:
		d.rotWithin(f, length)
	case LatentError:
		d.spoilWithin(f, length)
	case MisdirectedRead:
		d.record(f, f.offset, length)
	default:
	}
	if d.unreadable(f.offset, length) {
		return step.DiskEIO
	}
	at := f.offset
	for _, p := range f.op.Pieces {
		d.load(at, p.Bytes())
		at += int64(p.Len())
	}
	return step.DiskOK
}

func (d *Disk) write(f *flight, length int64) step.DiskError {
	missing := d.missing(f.offset, length)
	full := d.thick && missing > 0 && missing+d.used > d.faults.SpaceMax
	d.written++
	if full || f.fault == WriteError {
		if full {
			f.fault = Full
		}
		d.record(f, f.op.Offset, length)
		d.unsynced.stamp(f.number, f.logged, d.written)
		if !full {
			d.apply(f, drawPartial(d.seed, labelWriteError, f.number), d.written)
		}
		return step.DiskEIO
	}
	if f.fault == LostWrite {
		d.record(f, f.op.Offset, length)
		return step.DiskOK
	}
	d.unsynced.stamp(f.number, f.logged, d.written)
	d.apply(f, f.early.rest(), d.written)
	switch f.fault {
	case BitRot:
		d.rotWithin(f, length)
	case LatentError:
		d.spoilWithin(f, length)
	case MisdirectedWrite:
		d.record(f, f.offset, length)
	default:
	}
	return step.DiskOK
}

func (d *Disk) sync(f *flight) step.DiskError {
	switch f.fault {
	case SyncFails:
	case SyncSwallows:
		d.unsynced.swallow(f.cover)
	case SyncDrops:
		d.unsynced.drop(f.cover, &d.content)
	default:
		d.unsynced.settle(f.cover)
		return step.DiskOK
	}
	d.record(f, 0, 0)
	return step.DiskEIO
}

// apply puts the selected sectors of a write into the cache. stamp is 0 while
// the write is in flight.
func (d *Disk) apply(f *flight, sel selection, stamp uint64) (logged int) {
	if sel.mode == selectNone {
		return 0
	}
	at := f.offset
	for _, p := range f.op.Pieces {
		logged += d.store(at, p.Bytes(), sel, f.number, stamp)
		at += int64(p.Len())
	}
	return logged
}

// store writes data sector by sector, noting what each held before.
func (d *Disk) store(at int64, data []byte, sel selection, number, stamp uint64) (logged int) {
	for len(data) > 0 {
		n := min(len(data), d.sector-int(at)&(d.sector-1))
		sector := uint32(at / int64(d.sector))
		if sel.has(sector) {
			if old := d.place(at, data[:n]); old != nil {
				d.unsynced.push(entry{sector: sector, from: uint16(int(at) & (d.sector - 1)), length: uint16(n), number: number, stamp: stamp}, old)
				d.overwrite(at, old, data[:n])
				logged++
			}
		}
		at += int64(n)
		data = data[n:]
	}
	return logged
}

func (d *Disk) slot() Handle {
	if n := len(d.unused); n > 0 {
		h := d.unused[n-1]
		d.unused = d.unused[:n-1]
		return h
	}
	d.flight = append(d.flight, flight{})
	return Handle(len(d.flight) - 1)
}

func lengthOf(op *step.DiskOp) (n int64) {
	for _, p := range op.Pieces {
		n += int64(p.Len())
	}
	return n
}
