package sim

import (
	"time"

	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/kv"
)

// metadataService is the metadata store as nodes meet it: far away, sometimes
// not there, and not always telling what became of a request.
type metadataService struct {
	world   *World
	rand    stream
	store   *kv.Store
	all     *kv.Watcher // the world's own view, which never lags
	views   []view      // by body
	down    int         // outages that hold now
	unknown int         // of a million transactions, how many end unknown
	lag     time.Duration
	held    int64 // no lease runs out before
}

// view is one node's way to the store.
type view struct {
	client *kv.Node
	watch  *kv.Watcher
	under  bool   // a delivery is on its way
	cuts   int    // partitions that hold the node off the store
	silent uint64 // number of the newest time at which it could not be heard
}

const (
	transactionDeadline = 2 * time.Second
	leaseTime           = 5 * time.Second
	beatEvery           = leaseTime / 3
	everything          = 1 << 30         // revisions: more than any run makes
	lateMax             = 4 * time.Second // of a transaction applied after "unknown" was answered
)

func newMetadata(w *World, nodes int) *metadataService {
	m := &metadataService{
		world: w, rand: newStream(w.plan.Seed, "kv", 0), store: kv.New(1, 1), all: kv.Watch(volume.Prefix),
		views: make([]view, nodes), unknown: w.plan.UnknownPPM, lag: w.plan.WatchLag,
	}
	m.all.Next(m.store, everything)
	return m
}

// submit takes a transaction of a machine.
func (m *metadataService) submit(s *shard, t *step.Transaction) {
	w, b := m.world, s.body
	client := m.views[b.index].client
	way := m.rand.span(w.plan.MetadataMin, w.plan.MetadataMax)
	fate, late := kv.Answered, false
	if m.rand.chance(m.unknown) {
		fate, late = kv.AnswerLost, m.rand.oneIn(2)
		if m.rand.oneIn(3) {
			fate = kv.RequestLost
		}
	}
	tag, txn, life := t.Tag, t.Txn, b.life
	deadline := m.deadline()
	if late {
		m.answer(s, life, tag, deadline, metadata.Result{})
		w.after(deadline+m.rand.logSpan(time.Millisecond, lateMax), callApply, func() { m.decide(s, client, &txn, fate) })
		return
	}
	w.after(way, callApply, func() {
		if m.down > 0 || m.views[b.index].cuts > 0 {
			fate = kv.RequestLost
		}
		r := m.decide(s, client, &txn, fate)
		if r.Outcome == metadata.Unknown {
			m.answer(s, life, tag, deadline-way, r)
			return
		}
		m.answer(s, life, tag, m.rand.span(w.plan.MetadataMin, w.plan.MetadataMax), r)
	})
}

func (m *metadataService) deadline() time.Duration {
	return transactionDeadline/2 + m.rand.span(0, transactionDeadline/2)
}

// answer brings a result to the process that asked, if it still runs.
func (m *metadataService) answer(s *shard, life uint32, tag step.Tag, after time.Duration, r metadata.Result) {
	if r.Outcome == metadata.Unknown {
		m.world.counts.UnknownTransactions++
	}
	it := m.world.queue.push(m.world.now + int64(max(after, 0)))
	it.kind, it.label, it.body, it.life, it.shard = itemEvent, callAnswer, s.body, life, s
	it.event = step.Event{Kind: step.EventTransaction, Tag: tag, Result: r}
}

// decide applies a transaction now, if its request arrives.
func (m *metadataService) decide(s *shard, client *kv.Node, t *metadata.Txn, fate kv.Fate) metadata.Result {
	r := client.Do(m.store, *t, fate)
	m.changed()
	m.world.shootDecision(s, t, &r)
	if m.world.trace != nil {
		m.world.linef(s.body, "metadata: %s", resultText(t, &r))
	}
	return r
}

// put writes to the store as an administrator would, at once.
func (m *metadataService) put(ops ...metadata.Op) {
	m.store.Do(metadata.Txn{Ops: ops}, 0)
	m.changed()
}

// changed lets the world see what is new, and the nodes after a while.
func (m *metadataService) changed() {
	u, news := m.all.Next(m.store, everything)
	if !news {
		return
	}
	for i := range u.Changes {
		m.world.recorded(&u.Changes[i])
	}
	for _, b := range m.world.bodies {
		m.notify(b)
	}
}

// listen begins the view of a process: first comes the whole content.
func (m *metadataService) listen(b *body) {
	v := &m.views[b.index]
	v.client, v.watch, v.under = kv.NewNode(), kv.Watch(volume.Prefix), false
	m.notify(b)
	m.beat(b, b.life)
}

// notify schedules the next delivery of a node's watch.
func (m *metadataService) notify(b *body) {
	v := &m.views[b.index]
	if b.life == 0 || v.under || v.cuts > 0 {
		return
	}
	v.under = true
	life := b.life
	way := m.rand.span(m.world.plan.MetadataMin, m.world.plan.MetadataMax)
	m.world.after(way+m.rand.span(0, m.lag), callWatch, func() {
		if b.life != life {
			return
		}
		v.under = false
		if v.cuts > 0 {
			return
		}
		u, news := v.watch.Next(m.store, m.rand.between(1, 32))
		if !news {
			return
		}
		it := m.world.queue.push(m.world.now)
		it.kind, it.body, it.life, it.shard = itemEvent, b, life, b.orchestrator
		it.event.Kind, it.event.Update = step.EventWatch, &u
		m.notify(b)
	})
}

// beat keeps the lease of a process alive while it can be heard.
func (m *metadataService) beat(b *body, life uint32) {
	if b.life != life {
		return
	}
	v := &m.views[b.index]
	if v.cuts == 0 && m.down == 0 && b.pausedUntil <= m.world.now {
		v.client.KeepAlive(m.store)
		m.changed()
	}
	m.world.after(beatEvery, callLease, func() { m.beat(b, life) })
}

// died lets the lease of a dead process run out.
func (m *metadataService) died(b *body) { m.endLease(b, func() bool { return true }) }

// endLease revokes the lease that a node has now after the lease's time, if
// the node is still silent then.
func (m *metadataService) endLease(b *body, silent func() bool) {
	client := m.views[b.index].client
	if client == nil {
		return
	}
	m.runOut(client, leaseTime, silent)
}

// runOut revokes a lease after a while, later if leases are held.
func (m *metadataService) runOut(client *kv.Node, after time.Duration, silent func() bool) {
	m.world.after(after, callLease, func() {
		switch {
		case !silent():
		case m.world.now < m.held:
			m.runOut(client, time.Duration(m.held-m.world.now), silent)
		default:
			m.store.Revoke(client.Lease())
			m.changed()
		}
	})
}

// holdLeases lets no lease run out for a while, or until everything heals: a new
// leader of the store counts their time anew.
func (m *metadataService) holdLeases(d time.Duration, never bool) {
	if m.held = max(m.held, m.world.now+int64(d)); never {
		m.held = max(m.held, int64(m.world.plan.Safety))
	}
}

// expire ends a node's lease early, while the node is alive and well.
func (m *metadataService) expire(b *body) {
	if client := m.views[b.index].client; client != nil {
		m.store.Revoke(client.Lease())
		m.changed()
	}
}

// cut takes the store away from a node; mend gives it back.
func (m *metadataService) cut(b *body) {
	v := &m.views[b.index]
	v.cuts++
	v.silent++
	number := v.silent
	m.endLease(b, func() bool { return v.cuts > 0 && v.silent == number })
}

func (m *metadataService) mend(b *body) {
	v := &m.views[b.index]
	if v.cuts == 0 {
		return // healed before its time
	}
	if v.cuts--; v.cuts == 0 {
		m.notify(b)
	}
}

// paused lets the lease of a process that stands still run out.
func (m *metadataService) paused(b *body) {
	until := b.pausedUntil
	m.endLease(b, func() bool { return b.pausedUntil >= until && b.pausedUntil > m.world.now })
}

// compact makes every watch that is behind start anew with a snapshot.
func (m *metadataService) compact() {
	m.world.counts.Compactions++
	m.store.Compact(m.store.Revision())
}

// heal makes the store reachable and prompt.
func (m *metadataService) heal() {
	m.down, m.unknown, m.lag, m.held = 0, 0, time.Millisecond, 0
	for i, b := range m.world.bodies {
		m.views[i].cuts = 0
		m.notify(b)
	}
}
