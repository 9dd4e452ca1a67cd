package store

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// memoryDisk is a disk whose un-synced writes a power loss may take, sector by
// sector.
type memoryDisk struct {
	data    []byte // what a read sees
	pending []change
	sector  int
	badRead map[int64]bool            // offsets of pages that answer EIO
	fail    func(op step.DiskOp) bool // answers EIO; may be nil
	log     []step.DiskOp
}

// change is what an un-synced write replaced.
type change struct {
	offset int64
	old    []byte
}

func (d *memoryDisk) do(op step.DiskOp) step.DiskError {
	if d.fail != nil && d.fail(op) {
		return step.DiskEIO
	}
	d.log = append(d.log, step.DiskOp{Kind: op.Kind, Offset: op.Offset})
	at := op.Offset
	switch op.Kind {
	case step.DiskSync:
		d.pending = d.pending[:0]
		return step.DiskOK
	case step.DiskRead:
		for _, p := range op.Pieces {
			for page := at / 4096 * 4096; page < at+int64(p.Len()); page += 4096 {
				if d.badRead[page] {
					return step.DiskEIO
				}
			}
			copy(p.Bytes(), d.data[at:])
			at += int64(p.Len())
		}
	case step.DiskWrite:
		for _, p := range op.Pieces {
			d.pending = append(d.pending, change{at, slices.Clone(d.data[at : at+int64(p.Len())])})
			copy(d.data[at:], p.Bytes())
			at += int64(p.Len())
		}
	}
	return step.DiskOK
}

// powerLoss takes back any subset of the sectors of un-synced writes.
func (d *memoryDisk) powerLoss(r *rand.Rand) {
	mode := r.IntN(3) // all, none, some
	for i := len(d.pending) - 1; i >= 0; i-- {
		c := d.pending[i]
		for s := 0; s < len(c.old); s += d.sector {
			if mode == 0 || mode == 2 && r.IntN(2) == 0 {
				copy(d.data[c.offset+int64(s):], c.old[s:min(s+d.sector, len(c.old))])
			}
		}
	}
	d.pending = d.pending[:0]
}

// rig drives one store over a memory disk.
type rig struct {
	t       *testing.T
	disk    *memoryDisk
	store   *Store
	out     step.Effects
	now     step.Time
	random  *rand.Rand
	flight  []step.DiskOp
	timers  []step.Timer
	results []Result
	marks   map[step.Mark]int
	limits  Limits
	size    int
	token   uint64
}

func newRig(t *testing.T, seed uint64, geometry Geometry, limits ...Limits) *rig {
	t.Helper()
	r := &rig{t: t, random: rand.New(rand.NewPCG(seed, 1)), marks: make(map[step.Mark]int)}
	r.disk = &memoryDisk{data: make([]byte, geometry.Capacity), sector: 512, badRead: make(map[int64]bool)}
	r.out.Marks.Counts = r.marks
	for _, l := range limits {
		r.limits = l
	}
	r.fresh()
	r.store.Format(r.now, geometry, &r.out)
	r.settle()
	r.expect(Formatted)
	r.reopen()
	return r
}

func (r *rig) fresh() {
	r.store = New(Params{Pool: block.Heap{}, Seed: r.random.Uint64(), Owner: 7, Limits: r.limits})
	r.flight, r.timers = nil, nil
	r.out.Reset()
	r.results = nil
}

// reopen recovers the disk with a new store.
func (r *rig) reopen() {
	r.t.Helper()
	r.open()
	r.expect(Opened)
	r.size = r.store.BlockSize()
	r.check()
}

// open starts a new store over the disk and lets it come to rest.
func (r *rig) open() {
	r.fresh()
	r.store.Open(r.now, int64(len(r.disk.data)), &r.out)
	r.settle()
}

// collect takes over what the store emitted.
func (r *rig) collect() {
	r.flight = append(r.flight, r.out.Disk...)
	r.timers = append(r.timers, r.out.Timers...)
	r.out.Disk, r.out.Timers = r.out.Disk[:0], r.out.Timers[:0]
	r.results = append(r.results, r.store.Results()...)
}

// step performs one disk operation in flight, any of them.
func (r *rig) step() bool {
	r.collect()
	if len(r.flight) == 0 {
		return false
	}
	i := r.random.IntN(len(r.flight))
	op := r.flight[i]
	r.flight = slices.Delete(r.flight, i, i+1)
	err := r.disk.do(op)
	r.now += 1000
	r.store.Step(r.now, &step.Event{Kind: step.EventDiskDone, Tag: op.Tag, DiskError: err}, &r.out)
	r.collect()
	return true
}

func (r *rig) settle() {
	for range 1_000_000 {
		if !r.step() {
			return
		}
	}
	r.t.Fatal("the store never comes to rest")
}

// wait lets time pass: timers that are due fire.
func (r *rig) wait(d time.Duration) {
	end := r.now.Add(d)
	for range 10_000 {
		r.settle()
		next := -1
		for i, t := range r.timers {
			if t.At <= end && (next < 0 || t.At < r.timers[next].At) {
				next = i
			}
		}
		if next < 0 {
			r.now = max(r.now, end)
			return
		}
		t := r.timers[next]
		r.timers = slices.Delete(r.timers, next, next+1)
		r.now = max(r.now, t.At)
		r.store.Step(r.now, &step.Event{Kind: step.EventTimer, Tag: t.Tag}, &r.out)
	}
	r.t.Fatal("timers never end")
}

// expect takes the first result of a kind.
func (r *rig) expect(kind ResultKind) Result {
	r.t.Helper()
	r.collect()
	for i, res := range r.results {
		if res.Kind == kind {
			r.results = slices.Delete(r.results, i, i+1)
			return res
		}
	}
	for _, res := range r.results {
		if res.Kind == Failed {
			r.t.Fatalf("no result %d; the store failed: %s", kind, res.Text)
		}
	}
	r.t.Fatalf("no result %d among %d", kind, len(r.results))
	return Result{}
}

func (r *rig) create(n byte, blocks uint64) Handle {
	r.t.Helper()
	h, st := r.store.Create(r.now, block.ReplicaID{n}, block.VolumeID{n}, blocks, Image{}, Meta{Complete: true}, r.next(), &r.out)
	if st != message.OK {
		r.t.Fatalf("create: status %d", st)
	}
	r.settle()
	r.expect(RecordDone)
	return h
}

func (r *rig) next() uint64 { r.token++; return r.token }

// fill returns count blocks that only stamp writes.
func (r *rig) fill(stamp uint64, first block.Block, count uint32) []byte {
	data := make([]byte, int(count)*r.size)
	for b := range int(count) {
		p := data[b*r.size : (b+1)*r.size]
		for i := range 8 {
			p[i] = byte(stamp >> (8 * i))
			p[8+i] = byte((uint64(first) + uint64(b)) >> (8 * i))
			p[len(p)-1-i] = byte(stamp >> (8 * i))
		}
	}
	return data
}

func (r *rig) write(h Handle, at block.Position, first block.Block, count uint32) message.Status {
	data := r.fill(uint64(at.Era)<<40|uint64(at.Seq), first, count)
	rec := message.Record{Position: at, Op: message.OpWrite, Range: block.Range{First: first, Count: count}, Checksums: block.ChecksumsOf(data, r.size)}
	buf := block.NewSlab(data, nil).Buffer(len(data))
	st := r.store.Append(r.now, h, rec, buf, &r.out)
	r.collect()
	return st
}

func (r *rig) zero(h Handle, at block.Position, first block.Block, count uint32) message.Status {
	rec := message.Record{Position: at, Op: message.OpZero, Range: block.Range{First: first, Count: count}}
	st := r.store.Append(r.now, h, rec, block.Buffer{}, &r.out)
	r.collect()
	return st
}

func (r *rig) sync(h Handle) {
	r.store.Sync(r.now, h, &r.out)
	r.collect()
}

func (r *rig) stable(h Handle, seq block.Seq) {
	r.store.SetStable(r.now, h, seq, &r.out)
	r.collect()
}

// read returns the content of a range once everything is settled.
func (r *rig) read(h Handle, first block.Block, count uint32) (Result, []byte) {
	r.t.Helper()
	r.store.Read(r.now, h, 0, block.Range{First: first, Count: count}, r.next(), &r.out)
	r.settle()
	res := r.expect(ReadDone)
	return res, res.Payload.Bytes()
}

func (r *rig) stamp(h Handle, b block.Block) uint64 {
	r.t.Helper()
	res, data := r.read(h, b, 1)
	if res.Status != message.OK {
		r.t.Fatalf("read of block %d: status %d", b, res.Status)
	}
	if block.ChecksumOf(data) != res.Checksums[0] {
		r.t.Fatalf("read of block %d: checksum does not match", b)
	}
	return le64(data)
}

func le64(b []byte) (v uint64) {
	for i := range 8 {
		v |= uint64(b[i]) << (8 * i)
	}
	return v
}

func pos(era, seq int) block.Position {
	return block.Position{Era: block.Epoch(era), Seq: block.Seq(seq)}
}

func stampOf(p block.Position) uint64 { return uint64(p.Era)<<40 | uint64(p.Seq) }

func small() Geometry { return Geometry{Capacity: 8 << 20, BlockSize: 64, JournalBytes: 512 << 10} }
func large() Geometry { return Geometry{Capacity: 64 << 20, BlockSize: 4096, JournalBytes: 2 << 20} }

func blockAt(n uint64) block.Block { return block.Block(n) }
