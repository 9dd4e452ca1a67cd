package disk

import (
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

// Kind names a fault.
type Kind uint8

// The faults. A drawn one strikes single operations.
const (
	None             Kind = iota
	ReadError             // a read fails, once
	WriteError            // a write fails; some of its sectors may have arrived
	SyncFails             // a sync fails; what it covered stays un-synced and the next sync may save it
	SyncSwallows          // a sync fails; what it covered is still read, later syncs "succeed", power loss takes it
	SyncDrops             // a sync fails; what it covered is gone at once, later syncs "succeed"
	LatentError           // a sector becomes unreadable until it is written
	BitRot                // a bit flips and stays flipped
	MisdirectedRead       // a read returns the content of another place
	MisdirectedWrite      // a write goes to another place
	SlowOp                // an operation takes 10 to 100 times its time
	Stall                 // an operation takes Faults.StallTime more
	LostWrite             // a write is acknowledged and never arrives
	Full                  // not drawn: a write found no space (Faults.SpaceMax)
	KindCount             // how many kinds there are, not a kind
)

var kindNames = [KindCount]string{ // constant table: never written
	"none", "read error", "write error", "sync fails", "sync swallows", "sync drops", "latent error", "bit rot",
	"misdirected read", "misdirected write", "slow", "stall", "lost write", "full",
}

func (k Kind) String() string { return kindNames[k] }

// strikes says which operations a drawn fault can happen to.
var strikes = [KindCount]struct{ read, write, sync bool }{ // constant table: never written
	ReadError:        {read: true},
	WriteError:       {write: true},
	SyncFails:        {sync: true},
	SyncSwallows:     {sync: true},
	SyncDrops:        {sync: true},
	LatentError:      {read: true, write: true},
	BitRot:           {read: true, write: true},
	MisdirectedRead:  {read: true},
	MisdirectedWrite: {write: true},
	LostWrite:        {write: true},
	SlowOp:           {read: true, write: true, sync: true},
	Stall:            {read: true, write: true, sync: true},
}

// Rate is how often a fault strikes: one in so many operations it can happen
// to; 0 is never.
type Rate uint32

// Planned is a fault that strikes one certain operation.
type Planned struct {
	Op    uint64 // the first operation submitted to a disk is 1
	Fault Kind   // must fit the operation, else nothing happens
}

// Faults is everything that goes wrong with a disk: drawn, or planned.
type Faults struct {
	Rates     [KindCount]Rate
	Plan      []Planned
	SpaceMax  int64         // bytes the device has behind it, by 16 KiB; 0: all of its size
	StallTime time.Duration // of a Stall; 0: 3 s
	Slow      uint32        // every operation takes so many times its time; 0: 1
}

// Incident is a fault that happened.
type Incident struct {
	Fault  Kind
	Op     uint64
	Offset int64 // of the content that is concerned: where a misdirected operation went
	Length int64
}

const incidentsMax = 1 << 14 // enough for every run that is looked at; the counts go on

// Incidents returns the faults that happened so far, in order.
func (d *Disk) Incidents() []Incident { return d.incidents }

// Count returns how often a fault happened.
func (d *Disk) Count(k Kind) uint64 { return d.counts[k] }

func (d *Disk) record(f *flight, offset, length int64) {
	d.counts[f.fault]++
	if len(d.incidents) < incidentsMax {
		d.incidents = append(d.incidents, Incident{Fault: f.fault, Op: f.number, Offset: offset, Length: length})
	}
}

// drawFault draws what happens to the operation just submitted.
func (d *Disk) drawFault(op *step.DiskOp, length int64) Kind {
	for _, p := range d.faults.Plan {
		if p.Op == d.ops && applies(p.Fault, op.Kind, length) {
			return p.Fault
		}
	}
	for k := ReadError; k < Full; k++ {
		rate := d.faults.Rates[k]
		if rate == 0 || !applies(k, op.Kind, length) {
			continue
		}
		if s := drawsOf(d.seed, labelFault+label(k), d.ops); s.oneIn(uint64(rate)) {
			return k
		}
	}
	return None
}

func applies(k Kind, op step.DiskKind, length int64) bool {
	switch op {
	case step.DiskRead:
		return strikes[k].read && length > 0
	case step.DiskWrite:
		return strikes[k].write && length > 0
	case step.DiskSync:
		return strikes[k].sync
	}
	return false
}

// misdirect draws another place for an operation of the same length.
func (d *Disk) misdirect(number uint64, offset, length int64) int64 {
	places := (d.size-length)/int64(d.sector) + 1
	if places < 2 {
		return offset
	}
	s := drawsOf(d.seed, labelPlace, number)
	if s.oneIn(2) { // near by, where content is likely
		if to := offset + int64(d.sector)*(1+s.below(16)); to+length <= d.size {
			return to
		}
	}
	return s.below(places) * int64(d.sector)
}

// Rot flips one bit of the byte at offset, as the medium would: it was never
// written, so no power loss takes it back as such.
func (d *Disk) Rot(offset int64, bit uint) {
	d.own(offset >> pageShift).data[offset&(pageSize-1)] ^= 1 << (bit & 7)
}

// Spoil makes the sector that holds offset unreadable until it is written: what
// is not overwritten of it then is not what it was.
func (d *Disk) Spoil(offset int64) {
	d.spoil(offset&^int64(d.sector-1), int64(d.sector))
}

func (d *Disk) rotWithin(f *flight, length int64) {
	s := drawsOf(d.seed, labelPlace, f.number)
	at := f.offset + s.below(length)
	d.Rot(at, uint(s.below(8)))
	d.record(f, at, 1)
}

func (d *Disk) spoilWithin(f *flight, length int64) {
	s := drawsOf(d.seed, labelPlace, f.number)
	at := (f.offset + s.below(length)) &^ int64(d.sector-1)
	d.Spoil(at)
	d.record(f, at, int64(d.sector))
}

// What an operation of a good disk takes (measured on a virtio disk).
const (
	readTime    = 80 * time.Microsecond
	writeTime   = 40 * time.Microsecond
	syncTime    = 180 * time.Microsecond
	timePerKiB  = time.Microsecond
	stallTime   = 3 * time.Second
	tailOneIn   = 16 // without a heavy tail, orders that matter hardly ever occur
	tailFactors = 90
)

func (d *Disk) serviceTime(f *flight, length int64) time.Duration {
	var t time.Duration
	switch f.op.Kind {
	case step.DiskRead:
		t = readTime
	case step.DiskWrite:
		t = writeTime
	case step.DiskSync:
		t = syncTime
	}
	t += timePerKiB * time.Duration(length>>10)
	s := drawsOf(d.seed, labelService, f.number)
	t = t/2 + time.Duration(s.below(int64(t)))
	if s.oneIn(tailOneIn) || f.fault == SlowOp {
		t *= time.Duration(10 + s.below(tailFactors))
	}
	t *= time.Duration(max(1, d.faults.Slow))
	switch f.fault {
	case SlowOp:
		d.record(f, f.offset, length)
	case Stall:
		d.record(f, f.offset, length)
		t += stallTime
		if d.faults.StallTime > 0 {
			t += d.faults.StallTime - stallTime
		}
	default:
	}
	return t
}

// Touched reports whether a fault that harms content struck the range: what is
// read there may rightly be refused.
func (d *Disk) Touched(offset, length int64) bool {
	return slices.ContainsFunc(d.incidents, func(i Incident) bool {
		switch i.Fault {
		case LatentError, BitRot, MisdirectedWrite, LostWrite:
			return i.Offset < offset+length && offset < i.Offset+i.Length
		default:
			return false
		}
	})
}

// Faults returns what goes wrong with the disk at present.
func (d *Disk) Faults() Faults { return d.faults }

// Span is a range of the device.
type Span struct{ Offset, Length int64 }

// Written returns what was ever written from offset on, in pages.
func (d *Disk) Written(offset int64) (spans []Span) {
	for i := offset >> pageShift; i < int64(len(d.pages)); i++ {
		if d.pages[i] != nil {
			from := max(offset, i<<pageShift)
			spans = append(spans, Span{Offset: from, Length: min(d.size, (i+1)<<pageShift) - from})
		}
	}
	return spans
}
