package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// verify proves the batches that no header calls durable and writes them anew,
// byte for byte in their places: a dead process may have swallowed the error of
// an fdatasync, and a page that the kernel calls clean proves nothing. The same
// bytes over themselves cannot tear what was durable (rule 11).
type verify struct {
	items   []verifyItem
	next    int
	batches bool // slots first: their outcome decides which batches count
	cut     uint64
}

// verifyItem is a slot of a MAP or a batch.
type verifyItem struct {
	batch  int // in scan.batches
	slot   uint32
	sums   block.Checksums
	buffer block.Buffer
	wrote  bool
}

func (s *Store) startVerify(out *step.Effects) {
	o := s.opening
	o.step = openVerify
	v := &o.verify
	v.cut = ^uint64(0)
	for i := range o.scan.batches {
		b := &o.scan.batches[i]
		if b.end.batch <= o.scan.durable {
			continue
		}
		s.eachRecord(b, func(_ int, rec *format.Record) {
			if rec.Slot != 0 {
				v.items = append(v.items, verifyItem{batch: i, slot: rec.Slot, sums: rec.Sums})
			}
		})
	}
	s.driveVerify(out)
}

// eachRecord decodes the records of a batch again.
func (s *Store) eachRecord(b *scanned, each func(n int, rec *format.Record)) {
	sc := &s.opening.scan
	bytes := sc.records[b.from : b.from+b.header.Bytes]
	for n := range b.header.Records {
		size, err := sc.scratch.Decode(bytes)
		if err != nil {
			return // it was decoded once already
		}
		each(n, &sc.scratch)
		bytes = bytes[size:]
	}
}

func (s *Store) driveVerify(out *step.Effects) {
	o := s.opening
	v := &o.verify
	for v.next < len(v.items) && o.pending < openReads {
		it := &v.items[v.next]
		var at int64
		if it.slot != 0 {
			if int(it.slot) > s.slots.Total() {
				v.cut = min(v.cut, o.scan.batches[it.batch].end.batch)
				v.next++
				continue
			}
			at = s.slotAddress(it.slot)
			it.buffer = s.params.Pool.Get(block.PerChunk * s.blockSize)
		} else {
			b := &o.scan.batches[it.batch]
			at = s.ringAddress(b.start)
			it.buffer = s.params.Pool.Get(s.wholeBatch(b))
		}
		o.pending++
		s.openRead(int32(v.next), it.buffer, at, out)
		v.next++
	}
	if o.pending > 0 {
		return
	}
	if v.batches {
		s.endVerify(out)
		return
	}
	s.cutVerified(out)
	v.batches = true
	s.driveVerify(out)
}

// wholeBatch returns the bytes of a batch that mean something: a WRAP's rest
// is left out.
func (s *Store) wholeBatch(b *scanned) int {
	n := 0
	s.eachRecord(b, func(_ int, rec *format.Record) { n += rec.DataBlocks() })
	return b.header.Pages*format.PageSize + n*s.blockSize
}

// cutVerified drops what followed a MAP whose data is not whole and lists the
// rest to be written anew.
func (s *Store) cutVerified(out *step.Effects) {
	o := s.opening
	v := &o.verify
	for i := range o.scan.batches {
		if o.scan.batches[i].end.batch >= v.cut {
			out.Marks.Hit("store: torn MAP cut")
			o.scan.batches = o.scan.batches[:i]
			break
		}
	}
	v.items, v.next = v.items[:0], 0
	if o.clean {
		return
	}
	for i := range o.scan.batches {
		if o.scan.batches[i].end.batch > o.scan.durable {
			out.Marks.Hit("store: batch written anew after an unclean close")
			v.items = append(v.items, verifyItem{batch: i})
		}
	}
}

func (s *Store) onVerifyIO(ref int32, err step.DiskError, out *step.Effects) {
	o := s.opening
	it := &o.verify.items[ref]
	switch {
	case it.wrote:
		if err != step.DiskOK {
			s.fail(out, "disk %v: writing the journal's end anew returned an error; the disk is to be opened anew", s.super.Disk)
			return
		}
	case err == step.DiskOK && s.verified(it):
		it.wrote = true
		if o.clean {
			break
		}
		at := s.ringAddress(o.scan.batches[it.batch].start)
		if it.slot != 0 {
			at = s.slotAddress(it.slot)
		}
		io := s.begin(ioOpen, ref)
		s.piece(io, it.buffer.Retain())
		s.emit(io, step.DiskWrite, at, out)
		o.pending++
		return
	case it.slot != 0:
		o.verify.cut = min(o.verify.cut, o.scan.batches[it.batch].end.batch)
	default:
		s.fail(out, "disk %v: batch %d of the journal read differently twice; the disk is to be opened anew", s.super.Disk, o.scan.batches[it.batch].end.batch)
		return
	}
	it.buffer.Release()
	it.buffer = block.Buffer{}
	s.driveVerify(out)
}

// verified reports whether what was read is what the journal announced.
func (s *Store) verified(it *verifyItem) bool {
	data, bs := it.buffer.Bytes(), s.blockSize
	if it.slot != 0 {
		return acceptTornTail || block.ChecksumsOf(data, bs) == it.sums
	}
	b := &s.opening.scan.batches[it.batch]
	h, err := format.DecodeHeader(data, s.super.Pool, s.ringAddress(b.start))
	if err != nil || h.CRC != b.header.CRC {
		return false
	}
	data = data[h.Pages*format.PageSize:]
	good := true
	s.eachRecord(b, func(_ int, rec *format.Record) {
		for n := range rec.DataBlocks() {
			good = good && (acceptTornTail || block.ChecksumOf(data[:bs]) == rec.Sums[n])
			data = data[bs:]
		}
	})
	return good
}

// endVerify replays what counts and makes it durable.
func (s *Store) endVerify(out *step.Effects) {
	o := s.opening
	s.replay(out)
	if s.phase == phaseFailed {
		return
	}
	o.step = openSync
	o.pending++
	s.emit(s.begin(ioOpen, 0), step.DiskSync, 0, out)
}
