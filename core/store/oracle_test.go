package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// model is what one replica must hold: its records, and how far they are
// accepted and durable.
type model struct {
	h        Handle
	blocks   uint64
	records  []modelRecord // records[i] has seq i+1
	accepted block.Seq
	durable  block.Seq
	stable   block.Seq
	meta     Meta
	era      block.Epoch
	dropping bool // a truncation to dropTo was not reported when the store stopped
	dropTo   block.Seq
}

type modelRecord struct {
	at    block.Position
	op    message.Op
	first block.Block
	count uint32
}

// content returns the stamp of every block after the records up to seq.
func (m *model) content(seq block.Seq) map[block.Block]uint64 {
	c := make(map[block.Block]uint64)
	for _, rec := range m.records[:seq] {
		for b := rec.first; b < rec.first+block.Block(rec.count); b++ {
			c[b] = 0
			if rec.op == message.OpWrite {
				c[b] = stampOf(rec.at)
			}
		}
	}
	return c
}

// oracle drives a rig at random and compares it with models.
type oracle struct {
	*rig
	models []*model
	names  byte // of the replicas made so far
	random *rand.Rand
}

func (o *oracle) results() {
	o.collect()
	for _, res := range o.rig.results {
		switch res.Kind { //nolint:exhaustive // the others are taken where they are waited for
		case Failed:
			o.t.Fatalf("the store failed: %s", res.Text)
		case Accepted, Durable:
			for _, m := range o.models {
				if m.h != res.Handle {
					continue
				}
				if res.Position.Seq > block.Seq(len(m.records)) {
					o.t.Fatalf("result %d of seq %d, only %d were appended", res.Kind, res.Position.Seq, len(m.records))
				}
				if res.Kind == Accepted {
					m.accepted = max(m.accepted, res.Position.Seq)
				} else {
					m.durable = max(m.durable, res.Position.Seq)
				}
				if m.durable > m.accepted {
					o.t.Fatalf("durable %d above accepted %d", m.durable, m.accepted)
				}
			}
		}
	}
	o.rig.results = o.rig.results[:0]
}

func (o *oracle) append(m *model) {
	rec := modelRecord{at: block.Position{Era: m.era, Seq: block.Seq(len(m.records) + 1)}, op: message.OpWrite}
	chunk := block.Block(o.random.Uint64N(m.blocks / 16))
	if o.random.IntN(3) > 0 {
		chunk %= 8 // a hot set
	}
	off := block.Block(o.random.IntN(16))
	switch o.random.IntN(10) {
	case 0, 1:
		rec.first, rec.count = chunk*16, 16
	case 2:
		rec.op, rec.first, rec.count = message.OpZero, chunk*16+off, uint32(1+o.random.Uint64N(m.blocks-uint64(chunk*16+off)))
	case 3:
		rec.op, rec.first, rec.count = message.OpZero, chunk*16+off, 1
	case 4:
		rec.first, rec.count = chunk*16+off, uint32(1+o.random.IntN(16-int(off)))
	default:
		rec.first, rec.count = chunk*16+off, 1
	}
	var st message.Status
	if rec.op == message.OpZero {
		st = o.zero(m.h, rec.at, rec.first, rec.count)
	} else {
		st = o.write(m.h, rec.at, rec.first, rec.count)
	}
	switch st {
	case message.OK:
		m.records = append(m.records, rec)
	case message.NoSpace:
	default:
		r := o.store.replica(m.h)
		o.t.Fatalf("append %v: status %d; appended %v last %v base %v damaged %v", rec, st, r.appended, r.last, r.base, r.damaged)
	}
}

// verify reads everything of m and compares it with its content at seq.
func (o *oracle) verify(m *model, seq block.Seq) {
	o.t.Helper()
	want := m.content(seq)
	for c := range m.blocks / 16 {
		res, data := o.read(m.h, block.Block(c*16), 16)
		if res.Status != message.OK {
			o.t.Fatalf("replica %d chunk %d: status %d", m.h, c, res.Status)
		}
		for b := range 16 {
			at := block.Block(int(c)*16 + b)
			if got := le64(data[b*o.size:]); got != want[at] {
				o.t.Fatalf("replica %d block %d: stamp %x, want %x (seq %d, durable %d, accepted %d)", m.h, at, got, want[at], seq, m.durable, m.accepted)
			}
		}
	}
}

// crash stops the store in the middle and recovers; power says whether the
// un-synced writes are in danger.
func (o *oracle) crash(power bool) {
	o.t.Helper()
	o.results()
	for _, op := range o.flight { // what was in flight may have been done or not
		if o.random.IntN(2) == 0 && op.Kind != 2 {
			o.disk.do(op)
		}
	}
	if power {
		o.disk.powerLoss(o.random)
	}
	o.reopen()
	for _, m := range o.models {
		info, ok := o.store.Info(m.h)
		if !ok {
			o.t.Fatalf("replica %d is gone", m.h)
		}
		if info.Damaged {
			o.t.Fatalf("replica %d is damaged by a mere crash", m.h)
		}
		floor := m.durable
		if !power {
			floor = m.accepted
		}
		last := info.LastAccepted.Seq
		if m.dropping { // a truncation was on its way: all of it happened, or nothing
			floor = min(floor, m.dropTo)
			m.dropping = false
		}
		if last < floor || int(last) > len(m.records) {
			o.t.Fatalf("replica %d: last %d, durable %d, accepted %d, appended %d", m.h, last, m.durable, m.accepted, len(m.records))
		}
		if info.Meta != m.meta {
			o.t.Fatalf("replica %d: meta %+v, want %+v", m.h, info.Meta, m.meta)
		}
		if last > 0 && info.LastAccepted != m.records[last-1].at {
			o.t.Fatalf("replica %d: last %v, want %v", m.h, info.LastAccepted, m.records[last-1].at)
		}
		m.records = m.records[:last]
		m.accepted, m.durable = last, last
		o.verify(m, last)
	}
	o.rig.results = o.rig.results[:0]
}

func (o *oracle) truncate(m *model) {
	if int(m.stable) >= len(m.records) {
		return
	}
	to := m.stable + block.Seq(o.random.IntN(len(m.records)-int(m.stable)+1))
	m.era++
	if st := o.store.Truncate(o.now, m.h, m.era, to, o.next(), &o.out); st != message.OK {
		o.t.Fatalf("truncate to %d: status %d", to, st)
	}
	o.settle() // until it is durable: the model knows no half of it
	o.results()
	m.records = m.records[:to]
	m.accepted, m.durable = min(m.accepted, to), min(m.durable, to)
}

// truncateAndCrash stops the store in the middle of a truncation.
func (o *oracle) truncateAndCrash(m *model) {
	if int(m.stable) >= len(m.records) {
		return
	}
	m.dropTo = m.stable + block.Seq(o.random.IntN(len(m.records)-int(m.stable)+1))
	m.dropping = true
	m.era++
	o.store.Truncate(o.now, m.h, m.era, m.dropTo, o.next(), &o.out)
	for range o.random.IntN(6) {
		o.step()
	}
	o.crash(o.random.IntN(2) == 0)
}

// renew empties a replica: by a reset, or by deleting it and making another.
func (o *oracle) renew(m *model) {
	if o.random.IntN(2) == 0 {
		m.meta.Resync++
		o.store.Reset(o.now, m.h, 0, m.meta, o.next(), &o.out)
		o.settle()
	} else {
		o.store.Delete(o.now, m.h, o.next(), &o.out)
		for range o.random.IntN(5) {
			o.step()
		}
		o.names++
		m.meta = Meta{Complete: true}
		o.results()
		m.h = o.create(o.names, m.blocks)
	}
	o.results()
	m.records, m.accepted, m.durable, m.stable = nil, 0, 0, 0
}

// fetchTail reads back the records above stable.
func (o *oracle) fetchTail(m *model) {
	o.settle()
	o.results()
	if int(m.stable) == len(m.records) {
		return
	}
	token := o.next()
	o.store.FetchTail(o.now, m.h, m.stable+1, block.Seq(len(m.records)), token, &o.out)
	o.settle()
	next := m.stable + 1
	for _, res := range o.rig.results {
		switch {
		case res.Kind == TailRecord:
			want := m.records[next-1]
			if res.Record.Position != want.at || res.Record.Op != want.op || res.Record.Range != (block.Range{First: want.first, Count: want.count}) {
				o.t.Fatalf("tail record %+v, want %+v", res.Record, want)
			}
			if want.op == message.OpWrite && (le64(res.Payload.Bytes()) != stampOf(want.at) || block.ChecksumsOf(res.Payload.Bytes(), o.size) != res.Record.Checksums) {
				o.t.Fatalf("tail record %v: wrong data", want.at)
			}
			next++
		case res.Kind == TailDone && res.Status != message.OK:
			o.t.Fatalf("tail from %d to %d ended at %d with status %d", m.stable+1, len(m.records), next, res.Status)
		}
	}
	if int(next) != len(m.records)+1 {
		o.t.Fatalf("tail ended before %d, want %d", next, len(m.records))
	}
}

func (o *oracle) act() {
	m := o.models[o.random.IntN(len(o.models))]
	switch n := o.random.IntN(100); {
	case n < 40:
		o.append(m)
	case n < 70:
		o.step()
	case n < 76:
		o.sync(m.h)
	case n < 84:
		m.stable = max(m.stable, m.durable)
		o.stable(m.h, m.stable)
	case n < 88:
		o.settle()
	case n < 90:
		o.wait(time.Duration(o.random.IntN(40)) * time.Second)
	case n < 91:
		o.truncate(m)
	case n < 92:
		switch o.random.IntN(3) {
		case 0:
			o.renew(m)
		default:
			o.truncateAndCrash(m)
		}
	case n < 93:
		m.meta.Promised++
		o.store.SetMeta(o.now, m.h, m.meta, o.next(), &o.out)
		o.settle()
	case n < 94:
		o.sync(m.h)
		o.settle()
		o.results()
		if m.durable != block.Seq(len(m.records)) || m.accepted != m.durable {
			o.t.Fatalf("at rest after a sync: appended %d, accepted %d, durable %d", len(m.records), m.accepted, m.durable)
		}
		o.check()
		o.verify(m, block.Seq(len(m.records)))
	case n < 95:
		o.fetchTail(m)
	case n < 97:
		o.crash(o.random.IntN(2) == 0)
	default:
		for range 5 {
			o.append(m)
		}
	}
	o.results()
}

func runOracle(t *testing.T, seed uint64, g Geometry, steps int) map[string]int {
	var limits Limits
	if seed%3 == 0 {
		limits = Limits{BatchRecords: 1 + int(seed%5), BatchBytes: 4096, IndexEntries: 40, CacheBytes: 1}
	}
	o := &oracle{rig: newRig(t, seed, g, limits)}
	o.random = rand.New(rand.NewPCG(seed, 2))
	if seed%3 == 0 { // of no, some and all of the ring's data
		o.limits.RecentBytes = g.BlockSize << (seed % 17)
		o.reopen()
	}
	for n := range 1 + o.random.IntN(3) {
		m := &model{blocks: 256 << o.random.IntN(4), era: 1, meta: Meta{Complete: true}}
		m.h = o.create(byte(n+1), m.blocks)
		o.models = append(o.models, m)
	}
	o.names = 100
	for range steps {
		o.act()
	}
	o.settle()
	o.results()
	for _, m := range o.models {
		o.verify(m, block.Seq(len(m.records)))
	}
	marks := make(map[string]int)
	for k, v := range o.marks {
		marks[string(k)] += v
	}
	return marks
}

func TestRandomTracesMatchTheOracle(t *testing.T) {
	marks := make(map[string]int)
	for seed := range uint64(120) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := small()
			if seed%8 == 7 {
				g = Geometry{Capacity: 16 << 20, BlockSize: 4096, JournalBytes: 1280 << 10}
			}
			for k, v := range runOracle(t, seed, g, 600) {
				marks[k] += v
			}
		})
	}
	t.Log(marks)
}
