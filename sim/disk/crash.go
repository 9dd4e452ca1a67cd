package disk

import (
	"cmp"
	"slices"

	"github.com/lagan-storage/lagan/core/step"
)

// Loss says what a power loss does with the un-synced versions.
type Loss uint8

// The losses.
const (
	LossDrawn   Loss = iota // one of those below
	LoseAll                 // every sector goes back to its durable version
	LoseNothing             // everything that was written happens to be there
	LoseWrites              // each write is there or not, as a whole
	LoseSectors             // each sector has any of its versions: order and writes are torn
	LoseOne                 // a single sector lost something
	KeepOne                 // a single sector kept something
	LossCount               // how many there are, not a loss
)

var lossNames = [LossCount]string{"drawn", "lose all", "lose nothing", "lose writes", "lose sectors", "lose one", "keep one"} // constant table: never written

func (l Loss) String() string { return lossNames[l] }

// Kill is the death of the process that used the disk, whose memory must still
// be there: none, all or any sectors of each write in flight have arrived.
// What is in the cache stays, un-synced as before.
func (d *Disk) Kill() {
	d.crashes++
	for _, f := range d.inFlight() {
		s := drawsOf(d.seed^mix(d.crashes), labelKillSync, f.number)
		switch {
		case f.op.Kind == step.DiskSync && f.fault == None && s.oneIn(2):
			d.unsynced.settle(f.cover)
		case f.op.Kind == step.DiskWrite && f.offset+lengthOf(&f.op) <= d.size:
			d.written++
			d.unsynced.stamp(f.number, f.logged, d.written)
			if f.fault != WriteError && f.early.mode != selectAll {
				d.apply(f, drawPartial(d.seed^mix(d.crashes), labelKill, f.number), d.written)
			}
		}
	}
	d.flight, d.unused = d.flight[:0], d.unused[:0]
}

// PowerLoss is Kill followed by the loss of the cache: every sector takes one
// of its versions, from the durable one to the newest. It returns what was
// drawn where l is LossDrawn.
func (d *Disk) PowerLoss(l Loss) Loss {
	d.Kill()
	s := drawsOf(d.seed, labelPowerLoss, d.crashes)
	if l == LossDrawn {
		l = LoseAll + Loss(s.below(int64(LossCount-LoseAll)))
	}
	versions := make(map[uint32]int) // per sector, how many there are to lose
	for i := range d.unsynced.entries {
		versions[d.unsynced.entries[i].sector]++
	}
	undo := d.drawUndo(l, &s, versions)
	for i := len(d.unsynced.entries) - 1; i >= 0; i-- {
		e := &d.unsynced.entries[i]
		if undo[e.sector] > 0 {
			undo[e.sector]--
			d.unsynced.undo(e, &d.content)
		}
	}
	d.unsynced.keep(nil)
	return l
}

// drawUndo returns how many of its versions each sector loses, newest first.
func (d *Disk) drawUndo(l Loss, s *draws, versions map[uint32]int) map[uint32]int {
	if l == LoseNothing || len(versions) == 0 {
		return nil
	}
	entries := d.unsynced.entries
	one := entries[s.below(int64(len(entries)))].sector
	seed := s.next()
	undo := make(map[uint32]int, len(versions))
	switch l {
	case LoseOne:
		undo[one] = 1 + int(s.below(int64(versions[one])))
	case LoseWrites:
		stopped := make(map[uint32]bool)
		for i := len(entries) - 1; i >= 0; i-- {
			e := &entries[i]
			stopped[e.sector] = stopped[e.sector] || mix(seed^mix(e.number))&1 == 0
			if !stopped[e.sector] {
				undo[e.sector]++
			}
		}
	default: // each sector by itself
		for sector, n := range versions { // any order: each draws by its own number
			switch {
			case l == LoseSectors:
				undo[sector] = int(mix(seed^mix(uint64(sector)+1)) % uint64(n+1))
			case l == KeepOne && sector == one:
				undo[sector] = int(s.below(int64(n)))
			default:
				undo[sector] = n
			}
		}
	}
	return undo
}

// inFlight returns the operations that have not completed, oldest first.
func (d *Disk) inFlight() (list []*flight) {
	for i := range d.flight {
		if d.flight[i].active {
			list = append(list, &d.flight[i])
		}
	}
	slices.SortFunc(list, func(a, b *flight) int { return cmp.Compare(a.number, b.number) })
	return list
}
