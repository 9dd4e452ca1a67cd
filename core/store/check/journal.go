package check

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/format"
)

// Batch is a batch of the journal, as it lies on the disk.
type Batch struct {
	format.Header
	Position uint64 // bytes ever written before it
	Offset   int64  // where it lies
	Records  []format.Record
	Bad      []BadBlock // data that is not what its record says
}

// BadBlock is a block of data of a batch.
type BadBlock struct {
	Record int // index into Records
	Block  block.Block
}

// Journal is what the journal has.
type Journal struct {
	Batches []Batch // from the tail on, those that an opening would take
	Torn    *Batch  // what was begun behind them and is not whole, with all that it says
	Durable uint64  // the newest batch that is said to be durable
	Missing []Gap   // batches that were durable and are not there
}

// Gap is a run of batches that are missing.
type Gap struct{ First, Last uint64 }

// Journal reads the journal from its tail on, as an opening does: batches whose
// headers chain; behind them later ones, if one proves that what is between was
// durable (rule 10 of the store).
func (im *Image) Journal() *Journal {
	s := &im.Super.Journal
	j := &Journal{Durable: s.Durable}
	limit := s.Tail + uint64(s.Length)
	position, expect, prev, generation := s.Tail, s.TailBatch, s.TailPrev, uint64(0)
	for position < limit {
		b, ok := im.batch(position)
		if !ok || b.Batch != expect || b.Prev != prev || b.Generation < generation {
			break
		}
		j.take(b)
		position += uint64(b.Length)
		expect, prev, generation = b.Batch+1, b.CRC, b.Generation
	}
	j.judge(im.orphans(position, limit, expect), expect, generation)
	j.cut(im)
	return j
}

// Batches returns all batches of the ring that are not older than its tail, in
// order: also those that an opening would not take.
func (im *Image) Batches() []*Batch {
	s := &im.Super.Journal
	return im.orphans(s.Tail, s.Tail+uint64(s.Length), s.TailBatch)
}

func (j *Journal) take(b *Batch) {
	j.Batches = append(j.Batches, *b)
	j.Durable = max(j.Durable, b.Durable)
}

// orphans returns the batches behind the end of the chain that are later ones.
func (im *Image) orphans(position, limit, expect uint64) (list []*Batch) {
	for position < limit {
		b, ok := im.batch(position)
		if !ok || b.Batch < expect {
			position += format.PageSize
			continue
		}
		list = append(list, b)
		position += uint64(b.Length)
	}
	slices.SortFunc(list, func(a, b *Batch) int {
		return cmp.Or(cmp.Compare(a.Batch, b.Batch), cmp.Compare(b.Generation, a.Generation))
	})
	return list
}

// judge keeps the batches behind a hole if one of them proves that what is
// missing was durable.
func (j *Journal) judge(orphans []*Batch, expect, generation uint64) {
	first := expect
	if slices.ContainsFunc(orphans, func(b *Batch) bool { return b.Durable >= first && b.Generation >= generation }) {
		for _, b := range orphans {
			if b.Batch < expect || b.Generation < generation {
				continue
			}
			if b.Batch > expect {
				j.Missing = append(j.Missing, Gap{expect, b.Batch - 1})
			}
			j.take(b)
			expect, generation = b.Batch+1, b.Generation
		}
	}
	if expect <= j.Durable {
		j.Missing = append(j.Missing, Gap{expect, j.Durable})
	}
}

// cut drops the first batch above durable that is not whole, and what is behind.
func (j *Journal) cut(im *Image) {
	for i := range j.Batches {
		b := &j.Batches[i]
		if b.Batch > j.Durable && (len(b.Bad) > 0 || !im.mapsWhole(b)) {
			torn := *b
			j.Torn, j.Batches = &torn, j.Batches[:i]
			return
		}
	}
}

// mapsWhole reports whether the slots that a batch names have what it says.
// Nothing can have replaced that before the batch was known to be durable.
func (im *Image) mapsWhole(b *Batch) bool {
	for i := range b.Records {
		rec := &b.Records[i]
		if rec.Slot == 0 {
			continue
		}
		data, err := im.Chunk(rec.Slot)
		if err != nil || block.ChecksumsOf(data, int(im.Super.BlockSize)) != rec.Sums {
			return false
		}
	}
	return true
}

// batch reads the batch at a position; ok is false if none starts there.
func (im *Image) batch(position uint64) (b *Batch, ok bool) {
	at, end := im.ringAt(position), format.JournalOffset+im.Super.Journal.Length
	b = &Batch{Position: position, Offset: at}
	header := make([]byte, format.PageSize, format.HeaderPagesMax*format.PageSize)
	if im.read(header, at) != nil {
		return nil, false
	}
	pages := format.HeaderPages(header)
	if pages == 0 || at+int64(pages)*format.PageSize > end {
		return nil, false
	}
	if pages > 1 {
		header = header[:pages*format.PageSize]
		if im.read(header, at) != nil {
			return nil, false
		}
	}
	var err error
	b.Header, err = format.DecodeHeader(header, im.Super.Pool, at)
	if err != nil || b.Generation > im.Super.Journal.OpenCount || at+int64(b.Length) > end {
		return nil, false
	}
	blocks, wrap, ok := b.decode(format.RecordSpace(header)[:b.Bytes])
	size := int64(pages)*format.PageSize + pageUp(int64(blocks)*int64(im.Super.BlockSize))
	if !ok || !wrap && size != int64(b.Length) || wrap && at+int64(b.Length) != end {
		return nil, false
	}
	im.checkBatch(b)
	return b, true
}

func pageUp(n int64) int64 { return (n + format.PageSize - 1) / format.PageSize * format.PageSize }

// decode reads the records of a batch and counts the blocks of data behind them.
func (b *Batch) decode(bytes []byte) (blocks int, wrap, ok bool) {
	for range b.Header.Records {
		var rec format.Record
		n, err := rec.Decode(bytes)
		if err != nil {
			return 0, false, false
		}
		bytes = bytes[n:]
		blocks += rec.DataBlocks()
		wrap = wrap || rec.Kind == format.Wrap
		b.Records = append(b.Records, rec)
	}
	return blocks, wrap, len(bytes) == 0
}

// checkBatch compares the data of a batch with its checksums.
func (im *Image) checkBatch(b *Batch) {
	im.EachBlock(b, func(n int, at block.Block, sum block.Checksum, data []byte) {
		if data == nil || block.ChecksumOf(data) != sum {
			b.Bad = append(b.Bad, BadBlock{Record: n, Block: at})
		}
	})
}

// EachBlock reads the blocks of data of a batch; data is nil if it cannot be read.
func (im *Image) EachBlock(b *Batch, each func(record int, at block.Block, sum block.Checksum, data []byte)) {
	at, data := b.Offset+int64(b.Pages)*format.PageSize, make([]byte, im.Super.BlockSize)
	for n := range b.Records {
		rec := &b.Records[n]
		if rec.Slot != 0 {
			continue
		}
		sums := 0
		for m := rec.Holds(); m != 0; m &= m - 1 {
			got := data
			if im.read(data, at) != nil {
				got = nil
			}
			each(n, rec.Range.First.Chunk().First()+block.Block(bits.TrailingZeros16(m)), rec.Sums[sums], got)
			at += int64(len(data))
			sums++
		}
	}
}

// report says what the journal has and what of it is lost.
func (j *Journal) report(im *Image, r *Report) {
	s := &im.Super.Journal
	r.Journal = JournalCount{Bytes: s.Length, Tail: s.TailBatch, Batches: len(j.Batches), Durable: j.Durable, Torn: j.Torn != nil}
	for i := range j.Batches {
		b := &j.Batches[i]
		r.Journal.Records += len(b.Records)
		r.Journal.Used = int64(b.Position + uint64(b.Length) - s.Tail)
		for _, bad := range b.Bad {
			r.find(JournalDamaged, "batch %d at %d: block %d of replica %d is not what was written", b.Batch, b.Offset, bad.Block, b.Records[bad.Record].Handle)
		}
	}
	for _, g := range j.Missing {
		r.find(JournalDamaged, "batches %d to %d were durable and are not there", g.First, g.Last)
	}
	if j.Torn != nil {
		r.note("the journal ends with batch %d, which was torn: it was never said to be durable, and the next opening cuts it off", j.Torn.Batch)
	}
}
