package sim

import (
	"time"

	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// metadataService is the metadata store as nodes meet it: far away, sometimes
// not there, and not always telling what became of a request.
type metadataService struct {
	world   *World
	rand    stream
	store   keyvalue
	watches []watch // by body
	down    int     // outages that hold now
	unknown int     // of a million transactions, how many end unknown
	lag     time.Duration
}

// watch is one node's view of the store.
type watch struct {
	life     uint32
	known    metadata.Revision
	under    bool // a delivery is on its way
	cuts     int  // the node cannot reach the store
	lapse    uint64
	snapshot bool // the revisions it wants are forgotten
}

const (
	transactionDeadline = 2 * time.Second
	leaseTime           = 5 * time.Second
)

func newMetadata(w *World, nodes int) *metadataService {
	return &metadataService{
		world: w, rand: newStream(w.plan.Seed, "kv", 0), store: newKeyvalue(),
		watches: make([]watch, nodes), unknown: w.plan.UnknownPPM, lag: w.plan.WatchLag,
	}
}

// fate is what happens to one request.
type fate uint8

const (
	fateAnswered fate = iota
	fateLost          // never arrives
	fateSilent        // is applied, the answer is lost
	fateLate          // is applied after its sender was told "unknown"
)

// submit takes a transaction of a machine.
func (m *metadataService) submit(s *shard, t *step.Transaction) {
	w, b := m.world, s.body
	there := m.rand.span(w.plan.MetadataMin, w.plan.MetadataMax)
	f := fateAnswered
	if m.rand.chance(m.unknown) {
		f = fateLost + fate(m.rand.below(3))
	}
	tag, txn, life := t.Tag, t.Txn, b.life
	deadline := m.deadline()
	switch f {
	case fateLost:
		m.answer(s, life, tag, deadline, metadata.Result{})
	case fateLate:
		m.answer(s, life, tag, deadline, metadata.Result{})
		w.after(deadline+m.rand.logSpan(time.Millisecond, 4*time.Second), callApply, func() { m.decide(b, &txn) })
	case fateSilent, fateAnswered:
		w.after(there, callApply, func() {
			if m.down > 0 || m.watches[b.index].cuts > 0 {
				m.answer(s, life, tag, deadline-there, metadata.Result{})
				return
			}
			r := m.decide(b, &txn)
			if f == fateSilent {
				m.answer(s, life, tag, deadline-there, metadata.Result{})
				return
			}
			m.answer(s, life, tag, m.rand.span(w.plan.MetadataMin, w.plan.MetadataMax), r)
		})
	}
}

func (m *metadataService) deadline() time.Duration {
	return transactionDeadline/2 + m.rand.span(0, transactionDeadline/2)
}

// answer brings a result to the process that asked, if it still runs. A host
// that was cut from the store meanwhile hears nothing but the deadline.
func (m *metadataService) answer(s *shard, life uint32, tag step.Tag, after time.Duration, r metadata.Result) {
	b := s.body
	if r.Outcome == metadata.Unknown {
		m.world.counts.UnknownTransactions++
	}
	it := m.world.queue.push(m.world.now + int64(max(after, 0)))
	it.kind, it.label, it.body, it.life, it.shard = itemEvent, callAnswer, b, life, s
	it.event = step.Event{Kind: step.EventTransaction, Tag: tag, Result: r}
}

// decide applies a transaction now.
func (m *metadataService) decide(b *body, t *metadata.Txn) metadata.Result {
	before := m.store.revision
	first := len(m.store.log)
	r := m.store.apply(t, b.index)
	if m.store.revision != before {
		m.changed(m.store.log[first:])
	}
	m.world.tracef(b, "metadata: %s", resultText(t, &r))
	return r
}

// put writes to the store as an administrator would, at once.
func (m *metadataService) put(ops ...metadata.Op) {
	first := len(m.store.log)
	m.store.change(ops, -1)
	m.changed(m.store.log[first:])
}

func (m *metadataService) changed(changes []metadata.Change) {
	for i := range changes {
		m.world.recorded(&changes[i])
	}
	for _, b := range m.world.bodies {
		m.notify(b)
	}
}

// listen starts the watch of a process: first comes the whole content.
func (m *metadataService) listen(b *body) {
	v := &m.watches[b.index]
	v.life, v.known, v.under = b.life, 0, false
	m.notify(b)
}

// notify schedules the next delivery of a node's watch.
func (m *metadataService) notify(b *body) {
	v := &m.watches[b.index]
	if b.life == 0 || v.under || v.cuts > 0 || v.known == m.store.revision && v.known > 0 {
		return
	}
	v.under = true
	life := b.life
	m.world.after(m.rand.span(m.world.plan.MetadataMin, m.world.plan.MetadataMax)+m.rand.span(0, m.lag), callWatch, func() {
		if b.life != life {
			return
		}
		v.under = false
		if v.cuts > 0 {
			return
		}
		u := m.store.since(v.known, volume.Prefix)
		if v.snapshot {
			v.snapshot = false
			u = m.store.since(0, volume.Prefix)
		}
		v.known = m.store.revision
		it := m.world.queue.push(m.world.now)
		it.kind, it.body, it.life, it.shard = itemEvent, b, life, b.orchestrator
		it.event.Kind, it.event.Update = step.EventWatch, u
	})
}

// cut takes the store away from a node; mend gives it back.
func (m *metadataService) cut(b *body) { m.watches[b.index].cuts++; m.silent(b) }

func (m *metadataService) mend(b *body) {
	v := &m.watches[b.index]
	if v.cuts == 0 {
		return // healed before its time
	}
	if v.cuts--; v.cuts == 0 {
		m.notify(b)
	}
}

// heal makes the store reachable and prompt.
func (m *metadataService) heal() {
	m.down, m.unknown, m.lag = 0, 0, time.Millisecond
	for i, b := range m.world.bodies {
		m.watches[i].cuts = 0
		m.notify(b)
	}
}

// compact makes every watch that is behind start anew with a snapshot.
func (m *metadataService) compact() {
	m.world.counts.Compactions++
	m.store.compact()
	for i := range m.watches {
		m.watches[i].snapshot = m.watches[i].known < m.store.revision
	}
}

// silent starts the end of a node's lease: its leased keys go away unless it
// is heard from in time.
func (m *metadataService) silent(b *body) {
	v := &m.watches[b.index]
	v.lapse++
	lapse := v.lapse
	m.world.after(leaseTime, callLease, func() {
		if v.lapse == lapse && (b.life == 0 || v.cuts > 0) {
			m.expire(b)
		}
	})
}

// expire deletes a node's leased keys. A store may do so early, while the node
// is alive and well.
func (m *metadataService) expire(b *body) {
	var ops []metadata.Op
	for _, it := range m.store.read("/") {
		if owner, leased := m.store.owners[it.Key]; leased && owner == b.index {
			ops = append(ops, metadata.Op{Key: it.Key, Delete: true})
		}
	}
	if len(ops) > 0 {
		m.put(ops...)
	}
}
