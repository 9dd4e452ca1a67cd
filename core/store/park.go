package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// parkItem is an unstable record that moves out of the tail's way (rule 4).
type parkItem struct {
	handle   uint32
	layer    uint32
	position block.Position
	chunk    block.Chunk
	blocks   int   // of data to be copied; 0: none, or it is parked already
	at       int64 // where the copy goes
}

// parkSlot is a slot that takes the data of items[first:end].
type parkSlot struct {
	slot       uint32
	first, end int
	blocks     int
}

// parkPlan is which slot a jobPark fills.
type parkPlan struct{ number int }

// parkJobs is how many slots are filled at a time.
const parkJobs = 8

// startPark lists the unstable records before the cut and gives each a place.
func (s *Store) startPark(out *step.Effects) {
	c := &s.ckpt
	c.phase, c.nextSlot = ckptPark, 0
	for _, r := range s.replicas {
		if r.cut.in {
			s.listParked(r, out)
		}
	}
	for i := range c.items {
		if n := c.items[i].blocks; n > 0 {
			s.placeParked(i, n, out)
		}
	}
	s.drivePark(out)
}

// listParked collects r's records to park, in order.
func (s *Store) listParked(r *replica, out *step.Effects) {
	for i := range r.records {
		rec := &r.records[i]
		if rec.Batch > s.ckpt.cut.batch || !rec.inStream() {
			continue
		}
		if rec.Position.Seq <= r.cut.stable {
			if rec.Position.Seq > r.cut.base.Seq {
				r.cut.base = rec.Position
			}
			continue
		}
		out.Marks.Hit("store: park")
		r.cut.list = append(r.cut.list, int32(i))
		it := parkItem{handle: r.handle, layer: rec.Layer, position: rec.Position, chunk: rec.Range.First.Chunk()}
		if rec.Batch != 0 && rec.Kind == format.Write {
			it.blocks = int(rec.Range.Count)
		}
		s.ckpt.items = append(s.ckpt.items, it)
	}
}

// placeParked finds room for an item's blocks in the last slot or a new one.
func (s *Store) placeParked(i, blocks int, out *step.Effects) {
	c := &s.ckpt
	n := len(c.slots)
	if n == 0 || c.slots[n-1].blocks+blocks > block.PerChunk {
		slot, ok := s.slots.Alloc(0)
		if !ok {
			s.fail(out, "disk %v: no free slot to park unstable data: the reserve was used up", s.super.Disk)
			return
		}
		s.slots.Root(slot)
		c.slots = append(c.slots, parkSlot{slot: slot, first: i, end: i})
		n++
	}
	p := &c.slots[n-1]
	c.items[i].at = s.slotAddress(p.slot) + int64(p.blocks*s.blockSize)
	p.blocks += blocks
	p.end = i + 1
}

// drivePark fills slots until all are written.
func (s *Store) drivePark(out *step.Effects) {
	c := &s.ckpt
	for c.pending < parkJobs && c.nextSlot < len(c.slots) && s.phase != phaseFailed {
		n := c.nextSlot
		c.nextSlot++
		c.pending++
		s.fillSlot(n, out)
	}
	if c.pending == 0 && c.phase == ckptPark && s.phase != phaseFailed {
		s.startPages(out)
	}
}

// fillSlot reads what goes into a slot.
func (s *Store) fillSlot(n int, out *step.Effects) {
	c := &s.ckpt
	i := s.newJob(jobPark, nil, 0)
	j := s.jobs.table[i]
	j.park.number, j.count = n, block.PerChunk
	j.buffer = s.params.Pool.Get(block.PerChunk * s.blockSize)
	p := &c.slots[n]
	b := 0
	for k := p.first; k < p.end; k++ {
		it := &c.items[k]
		if it.blocks == 0 {
			continue
		}
		v := s.parkedVersion(it)
		invariant.That(v != nil, "an unstable record is in the index")
		for bit := range block.PerChunk {
			if v.Mask&(1<<bit) == 0 {
				continue
			}
			j.sources[b] = source{kind: sourceDisk, at: v.Place(bit, s.blockSize), sum: s.index.Sum(v, bit)}
			if v.Bad&(1<<bit) != 0 {
				j.sources[b] = source{kind: sourceBad}
			}
			b++
		}
	}
	for ; b < block.PerChunk; b++ {
		j.sources[b] = source{kind: sourceSkip}
	}
	if !s.readSources(i, out) {
		s.writeParked(i, out)
	}
}

// writeParked verifies what was read and writes the slot. What does not match
// its checksum is parked as bad, so that it never pins the tail (rule 20).
func (s *Store) writeParked(i int32, out *step.Effects) {
	c := &s.ckpt
	j := s.jobs.table[i]
	p := &c.slots[j.park.number]
	if s.inspect(j); j.bad != 0 && s.readAgain(i, out) {
		return
	}
	b := 0
	for k := p.first; k < p.end; k++ {
		it := &c.items[k]
		if it.blocks == 0 {
			continue
		}
		v := s.parkedVersion(it)
		for bit := range block.PerChunk {
			if v.Mask&(1<<bit) == 0 {
				continue
			}
			if j.bad&(1<<b) != 0 {
				out.Marks.Hit("store: journal data lost before it was parked")
				v.Bad |= 1 << bit
			}
			b++
		}
	}
	io := s.begin(ioCkptWrite, 0)
	s.piece(io, j.buffer.Slice(0, p.blocks*s.blockSize))
	s.emit(io, step.DiskWrite, s.slotAddress(p.slot), out)
	s.endJob(i)
}

// writeParkedPages writes r's list of parked records as a chain of pages.
func (s *Store) writeParkedPages(r *replica, out *step.Effects) {
	for _, page := range r.pages {
		s.dropPage(page)
	}
	r.pages = r.pages[:0]
	r.cut.parked = format.Child{}
	var bodies [][]byte
	var counts []int
	used := format.ParkedRoom
	for _, n := range r.cut.list {
		p := s.parkedRecord(r, &r.records[n])
		if used+p.Size() > format.ParkedRoom {
			page, b := s.queuePage(out)
			clear(b)
			r.pages = append(r.pages, page)
			bodies, counts = append(bodies, b), append(counts, 0)
			used = 0
		}
		used += p.Encode(format.ParkedSpace(bodies[len(bodies)-1])[used:])
		counts[len(counts)-1]++
	}
	for i := len(bodies) - 1; i >= 0; i-- { // the last first: each names the crc of the next
		format.EncodeParkedNext(bodies[i], r.cut.parked)
		crc := format.SealPage(bodies[i], format.PageParked, s.super.Pool, s.pageAddress(r.pages[i]), counts[i], uint64(r.handle))
		r.cut.parked = format.Child{Page: r.pages[i], CRC: crc}
	}
}

// parkedRecord is a record as the parked list holds it.
func (s *Store) parkedRecord(r *replica, rec *record) format.Parked {
	p := format.Parked{Record: format.Record{
		Kind: rec.Kind, FUA: rec.FUA, Handle: r.handle, Position: rec.Position, Stable: r.cut.stable, Range: rec.Range,
	}}
	if rec.Kind == format.Snap || rec.Kind == format.DelSnap || rec.Kind == format.Resize {
		shape := r.shapeOf(rec.Position.Seq)
		p.Record.Layer, p.Record.Parent, p.Record.Blocks = shape.id, shape.parent, shape.blocks
	}
	if rec.Kind != format.Write && rec.Kind != format.Map {
		return p
	}
	v := s.versionOf(index.Key{Layer: rec.Layer, Chunk: rec.Range.First.Chunk()}, rec.Position)
	invariant.That(v != nil, "an unstable record is in the index")
	p.Bad, p.At = v.Bad, v.At
	n := 0
	for b := range block.PerChunk {
		if v.Mask&(1<<b) != 0 {
			p.Record.Sums[n] = s.index.Sum(v, b)
			n++
		}
	}
	if rec.Kind == format.Map {
		p.Record.Slot, p.At = v.Slot, 0
		if !s.slots.Rooted(v.Slot) {
			s.slots.Root(v.Slot)
		}
	} else if at, copied := s.copyOf(r.handle, rec.Position); copied {
		p.At = at
	}
	return p
}

// copyOf returns where this checkpoint copied a record's data to.
func (s *Store) copyOf(handle uint32, at block.Position) (int64, bool) {
	items := s.ckpt.items
	lo, hi := 0, len(items)
	for lo < hi { // items are in order of handle, then seq
		mid := (lo + hi) / 2
		if it := &items[mid]; it.handle < handle || it.handle == handle && it.position.Seq < at.Seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(items) && items[lo].handle == handle && items[lo].position == at && items[lo].blocks > 0 {
		return items[lo].at, true
	}
	return 0, false
}

// adoptParked points the index to the parked copies.
func (s *Store) adoptParked() {
	for _, r := range s.replicas {
		for _, n := range r.cut.list {
			rec := &r.records[n]
			s.journal.blocks -= int(rec.Blocks)
			rec.Blocks = 0
			at, copied := s.copyOf(r.handle, rec.Position)
			for c := rec.Range.First.Chunk(); rec.Range.Count > 0 && c.First() < rec.Range.End(); c++ {
				if v := s.versionOf(index.Key{Layer: rec.Layer, Chunk: c}, rec.Position); v != nil {
					v.Batch = 0
					if copied {
						v.At = at
						s.parked[s.slotAt(at)]++
					}
				}
			}
			rec.Batch = 0
		}
		r.cut.list = r.cut.list[:0]
	}
}
