package store

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// segmentBytes is how much of the ring recovery reads at a time.
const segmentBytes = 1 << 20

// scanned is a batch that the scan found.
type scanned struct {
	end    mark
	start  uint64
	header format.Header
	from   int // its records' bytes in scan.records
	bad    []badBlock
}

// badBlock is a block whose data does not match its record.
type badBlock struct {
	record int
	bit    int
}

// expected is the next block of data of the batch being read.
type expected struct {
	record, bit int
	sum         block.Checksum
}

// segment is a part of the ring in memory.
type segment struct {
	buffer block.Buffer
	length int
	ready  bool
	retry  int // single pages still being read after the whole failed
}

// scan reads the whole ring once, in order, page by page. As long as the chain
// of headers holds, batches are taken; behind its end, valid headers of later
// batches are orphans: they tell a torn tail from corruption (rule 10).
type scan struct {
	segments []segment
	nextRead int
	nextFeed int
	position uint64
	chain    bool
	expect   uint64
	prev     uint32
	last     uint64 // generation of the last header

	header   [format.HeaderPagesMax * format.PageSize]byte
	have     int
	open     bool // inside a batch
	left     int  // its bytes still to come
	expects  []expected
	batches  []scanned
	orphans  []scanned
	records  []byte
	damaged  bool
	holes    bool // batches are missing between those kept
	endLost  bool // batches known as durable are missing at the end
	durable  uint64
	scratch  format.Record
	orphaned bool
}

func (s *Store) startScan(out *step.Effects) {
	sc := &s.opening.scan
	j := &s.super.Journal
	sc.chain, sc.expect, sc.prev, sc.position = true, j.TailBatch, j.TailPrev, j.Tail
	n := int((j.Length + segmentBytes - 1) / segmentBytes)
	sc.segments = make([]segment, n+1) // one more: the ring is entered in the middle
	s.readSegments(out)
}

// segmentAt returns the part of the ring that segment i covers, counted from
// the tail; none crosses the ring's end.
func (s *Store) segmentAt(i int) (position uint64, length int) {
	j := &s.super.Journal
	toEnd := uint64(j.Length) - j.Tail%uint64(j.Length)
	before := int((toEnd + segmentBytes - 1) / segmentBytes)
	if i < before {
		from := uint64(i) * segmentBytes
		return j.Tail + from, int(min(segmentBytes, toEnd-from))
	}
	from := toEnd + uint64(i-before)*segmentBytes
	if from >= uint64(j.Length) {
		return 0, 0
	}
	return j.Tail + from, int(min(segmentBytes, uint64(j.Length)-from))
}

func (s *Store) readSegments(out *step.Effects) {
	o := s.opening
	sc := &o.scan
	for sc.nextRead < len(sc.segments) && sc.nextRead < sc.nextFeed+openReads {
		position, length := s.segmentAt(sc.nextRead)
		seg := &sc.segments[sc.nextRead]
		seg.length = length
		if length == 0 {
			seg.ready = true
			sc.nextRead++
			continue
		}
		seg.buffer = s.params.Pool.Get(length)
		o.pending++
		s.openRead(int32(sc.nextRead), seg.buffer, s.ringAddress(position), out)
		sc.nextRead++
	}
}

// pageRefs marks the reads of single pages.
const pageRefs = 1 << 20

func (s *Store) onSegmentRead(ref int32, err step.DiskError, out *step.Effects) {
	o := s.opening
	sc := &o.scan
	if ref >= pageRefs {
		i, page := int(ref-pageRefs)/(segmentBytes/format.PageSize), int(ref-pageRefs)%(segmentBytes/format.PageSize)
		seg := &sc.segments[i]
		if err != step.DiskOK {
			clear(seg.buffer.Bytes()[page*format.PageSize : (page+1)*format.PageSize])
		}
		seg.retry--
		seg.ready = seg.retry == 0
	} else if err != step.DiskOK {
		out.Marks.Hit("store: journal read page by page")
		position, _ := s.segmentAt(int(ref))
		seg := &sc.segments[ref]
		for page := range seg.length / format.PageSize {
			io := s.begin(ioOpen, pageRefs+ref*int32(segmentBytes/format.PageSize)+int32(page))
			s.piece(io, seg.buffer.Slice(page*format.PageSize, (page+1)*format.PageSize).Retain())
			s.emit(io, step.DiskRead, s.ringAddress(position)+int64(page*format.PageSize), out)
			seg.retry++
			o.pending++
		}
	} else {
		sc.segments[ref].ready = true
	}
	s.feedSegments(out)
}

// feedSegments takes in what was read, in the ring's order.
func (s *Store) feedSegments(out *step.Effects) {
	sc := &s.opening.scan
	for sc.nextFeed < len(sc.segments) && sc.segments[sc.nextFeed].ready {
		seg := &sc.segments[sc.nextFeed]
		for at := 0; at < seg.length; at += format.PageSize {
			s.feed(seg.buffer.Bytes()[at : at+format.PageSize])
			sc.position += format.PageSize
		}
		seg.buffer.Release()
		*seg = segment{}
		sc.nextFeed++
		s.readSegments(out)
	}
	if sc.nextFeed == len(sc.segments) {
		s.endScan(out)
	}
}

// feed takes in one page of the ring.
func (s *Store) feed(page []byte) {
	sc := &s.opening.scan
	if sc.open {
		s.feedData(page)
		return
	}
	if sc.have == 1 {
		sc.have = 0
		copy(sc.header[format.PageSize:], page)
		if s.takeHeader(sc.header[:], sc.position-format.PageSize) {
			return
		}
		sc.chain = false
	}
	switch format.HeaderPages(page) {
	case 1:
		if s.takeHeader(page, sc.position) {
			return
		}
	case 2:
		copy(sc.header[:], page)
		sc.have = 1
		return
	}
	sc.chain = false
}

// takeHeader opens the batch whose header ends with the page being fed.
func (s *Store) takeHeader(header []byte, start uint64) bool {
	sc := &s.opening.scan
	h, err := format.DecodeHeader(header, s.super.Pool, s.ringAddress(start))
	if err != nil || h.Batch < sc.expect || h.Generation > s.super.Journal.OpenCount {
		return false
	}
	sc.chain = sc.chain && h.Batch == sc.expect && h.Prev == sc.prev && h.Generation >= sc.last
	b := scanned{start: start, header: h, from: len(sc.records)}
	b.end = mark{batch: h.Batch, position: start + uint64(h.Length), crc: h.CRC}
	bytes := format.RecordSpace(header)[:h.Bytes]
	wrap, ok := s.expectData(bytes, h.Records)
	size := h.Pages*format.PageSize + pageUp(len(sc.expects)*s.blockSize)
	limit := s.super.Journal.Tail + uint64(s.super.Journal.Length)
	if !ok || b.end.position > limit || !wrap && size != int(h.Length) ||
		wrap && b.end.position%uint64(s.super.Journal.Length) != 0 {
		sc.chain = false
		return false
	}
	sc.records = append(sc.records, bytes...)
	sc.left = int(h.Length) - h.Pages*format.PageSize
	if sc.chain {
		sc.batches = append(sc.batches, b)
		sc.expect, sc.prev, sc.last = h.Batch+1, h.CRC, h.Generation
	} else {
		sc.orphans = append(sc.orphans, b)
	}
	sc.orphaned = !sc.chain
	sc.open = sc.left > 0
	return true
}

// expectData lists the blocks of data that the records announce.
func (s *Store) expectData(bytes []byte, records int) (wrap, ok bool) {
	sc := &s.opening.scan
	sc.expects = sc.expects[:0]
	for n := range records {
		rec := &sc.scratch
		size, err := rec.Decode(bytes)
		if err != nil {
			return false, false
		}
		bytes = bytes[size:]
		wrap = wrap || rec.Kind == format.Wrap
		if rec.Slot != 0 {
			continue
		}
		sums := 0
		for m := rec.Holds(); m != 0; m &= m - 1 {
			sc.expects = append(sc.expects, expected{record: n, bit: bits.TrailingZeros16(m), sum: rec.Sums[sums]})
			sums++
		}
	}
	return wrap, len(bytes) == 0
}

// feedData checks a page of a batch's data.
func (s *Store) feedData(page []byte) {
	sc := &s.opening.scan
	b := &sc.batches
	if sc.orphaned {
		b = &sc.orphans
	}
	batch := &(*b)[len(*b)-1]
	for at := 0; at < format.PageSize && len(sc.expects) > 0; at += s.blockSize {
		e := sc.expects[0]
		sc.expects = sc.expects[1:]
		if block.ChecksumOf(page[at:at+s.blockSize]) != e.sum {
			batch.bad = append(batch.bad, badBlock{record: e.record, bit: e.bit})
		}
	}
	if sc.left -= format.PageSize; sc.left == 0 {
		sc.open = false
	}
}

// endScan decides which batches count.
func (s *Store) endScan(out *step.Effects) {
	sc := &s.opening.scan
	sc.open, sc.expects = false, nil
	sc.durable = s.super.Journal.Durable
	for i := range sc.batches {
		sc.durable = max(sc.durable, sc.batches[i].header.Durable)
	}
	s.judgeOrphans(out)
	if s.endOfKept() < sc.durable && sc.durable >= s.super.Journal.TailBatch {
		out.Marks.Hit("store: durable end of the journal lost")
		sc.damaged, sc.endLost = true, true
	}
	s.cutTorn(out)
	s.startVerify(out)
}

// endOfKept returns the last batch that counts so far.
func (s *Store) endOfKept() uint64 {
	sc := &s.opening.scan
	if n := len(sc.batches); n > 0 {
		return sc.batches[n-1].end.batch
	}
	return s.super.Journal.TailBatch - 1
}

// judgeOrphans keeps the batches behind a hole if one of them proves that what
// is missing was durable (rule 10).
func (s *Store) judgeOrphans(out *step.Effects) {
	sc := &s.opening.scan
	proof := false
	for i := range sc.orphans {
		proof = proof || sc.orphans[i].header.Durable >= sc.expect && sc.orphans[i].header.Generation >= sc.last
	}
	if !proof {
		return
	}
	out.Marks.Hit("store: corruption at or before durable")
	sc.damaged, sc.holes = true, true
	slices.SortFunc(sc.orphans, func(a, b scanned) int {
		return cmp.Or(cmp.Compare(a.end.batch, b.end.batch), cmp.Compare(b.header.Generation, a.header.Generation))
	})
	for _, b := range sc.orphans {
		if b.end.batch < sc.expect || b.header.Generation < sc.last {
			continue
		}
		sc.batches = append(sc.batches, b)
		sc.expect, sc.last = b.end.batch+1, b.header.Generation
		sc.durable = max(sc.durable, b.header.Durable)
	}
}

// cutTorn drops the first batch above durable that is not whole, and all behind it.
func (s *Store) cutTorn(out *step.Effects) {
	sc := &s.opening.scan
	for i := range sc.batches {
		b := &sc.batches[i]
		if b.end.batch <= sc.durable {
			if len(b.bad) > 0 {
				out.Marks.Hit("store: journal block lost")
			}
			continue
		}
		gap := i > 0 && sc.batches[i-1].end.batch+1 != b.end.batch && sc.batches[i-1].end.batch >= sc.durable
		if len(b.bad) > 0 && acceptTornTail {
			out.Marks.Hit("mutant: torn tail")
		}
		if gap || len(b.bad) > 0 && !acceptTornTail {
			out.Marks.Hit("store: torn tail cut")
			sc.batches = sc.batches[:i]
			return
		}
	}
	if len(sc.orphans) > 0 && !sc.holes {
		out.Marks.Hit("store: torn tail cut")
	}
}
