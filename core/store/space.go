package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/format"
)

// What is left when everything accepted has found its place is shared out, so that
// a full disk can be emptied: data leaves some for zeroes, and zeroes leave what
// merges take until the next checkpoint gives back what they freed.
//
//	data ─▶ need │ zeroes ─▶ zeroSlack │ merges ─▶ mergeSlack │ checkpoints ─▶ 0
const (
	spareSlots = 3  // for zeroes, and for records without data
	zeroPages  = 5  // a leaf at either end, and those above them
	unitePages = 3  // as needBeside counts one more layer with two trees
	foldPages  = 10 // likewise a leaf of either
)

// need returns how many free slots everything accepted and queued may still
// take: chunks going home, unstable data to be parked, and metadata pages.
func (s *Store) need() int { return s.needSlack(0) + s.spare() }

// spare returns how many slots data leaves to others.
func (s *Store) spare() int { return spareSlots + s.zeroSlack() }

// zeroSlack returns how many slots a zero must find.
func (s *Store) zeroSlack() int {
	if !s.layered() {
		return s.slotsFor(zeroPages)
	}
	return s.slotsFor(zeroPages) + s.mergeSlack()
}

// mergeSlack returns how many slots a merge must find to begin, foldSlack for every
// leaf.
func (s *Store) mergeSlack() int { return s.slotsFor(unitePages) + s.foldSlack() }
func (s *Store) foldSlack() int  { return s.slotsFor(foldPages) }

// layered reports whether there is, or will be, anything but heads: merges may come.
func (s *Store) layered() bool { return s.deeper > 0 || len(s.layers) > len(s.replicas) }

func (s *Store) slotsFor(pages int) int { return (pages + s.pagesPerSlot() - 1) / s.pagesPerSlot() }

// reserve returns how many slots no new chunk may take: they keep overwriting
// possible, whose data may have to be parked, when the disk is full.
func (s *Store) reserve() int {
	return min(int(s.super.Journal.Length/s.slotSize), s.slots.Total()/16)
}

// admission is the answer to a record with data.
type admission uint8

const (
	admitNow admission = iota
	admitSoft
	admitNever
)

// admit decides about the record queued last. Space that a checkpoint will free
// counts, but the record waits for it.
func (s *Store) admit(reserve bool) admission {
	free, need, soon := s.slots.Free(), s.need(), s.slots.Pending()
	if reserve {
		need += s.reserve()
	} else {
		soon += (s.journal.blocks + s.queue.blocks + block.PerChunk - 1) / block.PerChunk // at home they need no place to be parked
	}
	switch {
	case free >= need:
		return admitNow
	case free+soon >= need:
		return admitSoft
	default:
		return admitNever
	}
}

func (s *Store) needSlack(slack int) int {
	return s.needBeside(s.queue.reserve, s.queue.blocks, slack)
}

// needToEnter is need when of those that wait for freed space only o counts:
// they enter one after the other.
func (s *Store) needToEnter(o *op) int {
	q := &s.queue
	chunks, blocks := q.reserve-q.softReserve, q.blocks-q.softBlocks+o.record.DataBlocks()
	if o.reserve {
		chunks++
	}
	slack := s.spare()
	if o.reserve && o.record.Kind == format.Resync {
		slack += s.reserve() // it was not counted when this began to wait
	}
	return s.needBeside(chunks, blocks, slack)
}

// needBeside returns what is needed by everything in the journal, by queued
// records that take chunks new slots and have blocks of data, and slack.
func (s *Store) needBeside(chunks, blocks, slack int) int {
	chunks += s.journal.reserved
	parked := (s.journal.blocks + blocks + block.PerChunk - 1) / block.PerChunk
	leaves := s.index.Leaves() + s.leaves.dirty + s.queue.leaves
	records := s.journal.records + s.queue.records
	const recordsPerPage = 28 // of the longest records
	trees := len(s.replicas) + len(s.folding) + min(len(s.layers)-len(s.replicas), leaves)
	tables := 2*(len(s.replicas)+1)/format.TableVolumes + 2*(len(s.layers)+len(s.dead)+1)/format.TableLayers
	pages := 2*leaves + 3*trees + 2*s.slots.Groups() + records/recordsPerPage + tables + 12
	return chunks + parked + s.slotsFor(pages) + slack
}

// fits reports whether slack slots can be had beside all that is promised.
func (s *Store) fits(slack int) bool {
	return s.slots.Free()+s.slots.Pending() >= s.needSlack(slack)
}

// mayLayer reports whether there is room for one more layer: for the first chunk
// that is written to it, since nothing could be overwritten after it else.
func (s *Store) mayLayer() bool {
	slack := s.spare() + s.reserve() + 1
	if !s.layered() {
		slack += s.mergeSlack()
	}
	return s.fits(slack)
}

func (s *Store) pagesPerSlot() int { return int(s.slotSize / format.PageSize) }

// Space returns the bytes for data in all and those not reserved by anything.
func (s *Store) Space() (capacity, free int64) {
	if s.slots == nil {
		return 0, 0
	}
	chunk := int64(block.PerChunk * s.blockSize)
	spare := max(0, s.slots.Free()+s.slots.Pending()-s.need()-s.reserve())
	return int64(s.slots.Total()) * chunk, int64(spare) * chunk
}

// Pressure returns how full the journal is with what cannot leave it, 0 to 255:
// the ring, or the memory for what is in it.
func (s *Store) Pressure() uint8 {
	if s.phase != phaseOpen {
		return 0
	}
	memory := int64(s.index.Len()) * 128 / int64(s.limits.IndexEntries)
	return uint8(min(255, max(memory, s.journal.used()*256/s.super.Journal.Length)))
}

// pageSpace hands out metadata pages: META slots are cut into pages.
type pageSpace struct {
	used    map[uint32]uint16 // META slot → its used pages
	open    []uint32          // slots that had a free page when they were listed
	pending []uint64          // pages freed since the last cut
	cut     int
}

func (s *Store) pageAddress(page uint64) int64 { return int64(page) * format.PageSize }

// allocPage returns a free page; false: the disk is full.
func (s *Store) allocPage() (page uint64, ok bool) {
	p, per := &s.pages, s.pagesPerSlot()
	for {
		n := len(p.open)
		if n == 0 {
			slot, ok := s.slots.Alloc(0)
			if !ok {
				return 0, false
			}
			p.used[slot] = 0
			p.open = append(p.open, slot)
			continue
		}
		slot := p.open[n-1]
		mask, known := p.used[slot]
		for i := range per {
			if known && mask&(1<<i) == 0 {
				p.used[slot] = mask | 1<<i
				return uint64(s.slotAddress(slot)/format.PageSize) + uint64(i), true
			}
		}
		p.open = p.open[:n-1]
	}
}

// claimPage marks a page that recovery found in use.
func (s *Store) claimPage(page uint64) bool {
	address := s.pageAddress(page)
	if address < s.slotBase || address >= s.slotBase+int64(s.slots.Total())*s.slotSize {
		return false
	}
	slot := s.slotAt(address)
	mask, known := s.pages.used[slot]
	if !known && !s.slots.Claim(slot) {
		return false
	}
	bit := uint16(1) << ((address - s.slotAddress(slot)) / format.PageSize)
	s.pages.used[slot] = mask | bit
	return mask&bit == 0
}

// dropPage ends the use of a page; it is handed out again after the checkpoint.
func (s *Store) dropPage(page uint64) {
	if page != 0 {
		s.pages.pending = append(s.pages.pending, page)
	}
}

// releasePages frees the pages that were pending at the cut.
func (s *Store) releasePages() {
	p := &s.pages
	full := uint16(uint32(1)<<s.pagesPerSlot() - 1)
	for _, page := range p.pending[:p.cut] {
		address := s.pageAddress(page)
		slot := s.slotAt(address)
		mask := p.used[slot]
		left := mask &^ (1 << ((address - s.slotAddress(slot)) / format.PageSize))
		if left == 0 {
			delete(p.used, slot)
			s.slots.Return(slot)
			continue
		}
		if mask == full {
			p.open = append(p.open, slot)
		}
		p.used[slot] = left
	}
	p.pending = append(p.pending[:0], p.pending[p.cut:]...)
	p.cut = 0
}
