package linearizability

import "slices"

// openZeroesMax is how many zeroings of unknown outcome, and not fenced,
// porcupine is given per block: each doubles the orders to try, for it stays open to the end.
const openZeroesMax = 4

// access is one operation on one block as the models see it: it took effect
// once, between call and ret. Of what a history holds, operations that cannot
// have had or shown an effect are left out, and ambiguous writes are settled.
type access struct {
	call, ret int64
	value     uint64
	entry     uint32 // of the history, for texts
	cluster   int32  // of its value
	kind      Kind   // Read, Write, WriteFUA (acknowledged); porcupine also gets Flush, PowerLoss
	maybe     bool   // a write that took effect or never did
	tracked   bool   // a write whose value was read after a power loss that it may precede
}

// cluster is the operations that wrote and read one value: what Zones weighs.
type cluster struct {
	value               uint64
	write               int32 // access that wrote it, or none
	older, newest       int32 // the same value before and after power losses, see survive
	since               int64 // when the power loss was that made this cluster, else 0
	wrote               int64 // latest call that wrote it
	firstSeen, lastSeen int64 // first and last return of a read of it: never, 0 if none
	live                bool  // a write of it did not fail
	twice               bool  // it was written more than once
	minRet, maxCall     int64 // over its operations; -1 as long as it has none
	first, last         int32 // the accesses that have them, or none
}

const (
	none    int32 = -1 // no access, no cluster
	initial int32 = 0  // the cluster of zeroes
)

// loss is one power loss as a block sees it.
type loss struct {
	at    int64
	since int64  // the last flush that counts for it, or the loss before it; 0 if neither
	flush uint32 // entry of that flush
	kept  bool   // since is a flush
	entry uint32
}

// register is the history of one block, ready to be judged.
type register struct {
	block    uint32
	entries  []entry  // of the block, together: those of a history are far apart
	accesses []access // by call
	clusters []cluster
	losses   []loss // of the volume, by time
	zeroed   bool   // zeroes were written: reads of them have no single origin
	twice    bool   // another value was written twice: so have reads of that one
}

// lossesOf returns the power losses of h, each with the flush that counts.
//
// A flush counts for a loss only if it had returned before (else it may as well
// have taken effect after the loss), and the last call counts: taking effect
// right at its call is the weakest claim of a flush, for later it could only
// cover more.
func lossesOf(h *History, losses []loss) []loss {
	for i, e := range h.all() {
		if e.kind == PowerLoss {
			losses = append(losses, loss{at: e.call, entry: i})
		}
	}
	if len(losses) == 0 {
		return losses
	}
	for i, e := range h.all() {
		if e.kind != Flush || e.outcome != done {
			continue
		}
		for j := range losses {
			if l := &losses[j]; e.ret < l.at && e.call > l.since {
				l.since, l.flush, l.kept = e.call, i, true
			}
		}
	}
	for j := 1; j < len(losses); j++ {
		if before := losses[j-1].at; losses[j].since < before {
			losses[j].since, losses[j].kept = before, false
		}
	}
	return losses
}

// load fills r with the entries of one block, given by index in order of their
// calls, and returns what is wrong without any search.
//
// An ambiguous write W may take effect at any time after its call, or never.
// Values are unique, so reads tell which:
//
//   - Nobody read W: it is dropped. If the history is legal with W, take the
//     order that shows it and leave W out: no read lies between W and the next
//     write, for it would have returned W; nor did any read see W as what
//     survived a power loss. So every read still returns what it did. The other
//     way round, W may have happened never.
//   - Somebody read W: W took effect before the first read of it did, hence
//     before the earliest return of one. Giving W that return takes away no
//     legal order and adds none. The same holds for acknowledged writes, which
//     makes what follows simpler.
//   - W was fenced at time t: it took effect before t or never, so one that was
//     read returns at t at the latest.
//
// A value without single origin cannot be settled so: its ambiguous writes stay
// open for ever, or up to their fence, where they take effect or not (maybe).
func (r *register) load(h *History, indexes []uint64, t *table) *Violation {
	r.accesses, r.clusters = r.accesses[:0], append(r.clusters[:0], newCluster(0))
	r.clusters[initial].live = true
	r.zeroed, r.twice = false, false
	r.block = uint32(indexes[0] >> 32)
	r.entries = r.entries[:0]
	t.reset(len(indexes))
	for _, key := range indexes {
		r.entries = append(r.entries, *h.at(uint32(key)))
		e := &r.entries[len(r.entries)-1]
		if !e.kind.writes() {
			continue
		}
		c := initial
		if e.value != 0 {
			at := t.slot(e.value, r.clusters)
			if *at == none {
				*at = int32(len(r.clusters))
				r.clusters = append(r.clusters, newCluster(e.value))
			} else {
				r.clusters[*at].twice, r.twice = true, true
			}
			c = *at
		} else if e.outcome != failed {
			r.zeroed = true
			r.clusters[initial].twice = true
		}
		if e.outcome != failed {
			r.clusters[c].live = true
		}
		r.clusters[c].wrote = e.call
	}
	if v := r.loadReads(h, indexes, t); v != nil {
		return v
	}
	r.settle(indexes, t)
	if r.zeroed {
		r.forgive()
	}
	return nil
}

// forgive leaves out zeroings that stay open for ever: those after which nobody read
// zeroes, for they can as well have happened never; and if more than
// openZeroesMax are left, all of them together with the reads of zeroes after
// them. Every other read returned what an operation that stays had written, so
// a legal history stays legal; some illegal ones pass.
func (r *register) forgive() {
	seen := r.clusters[initial].lastSeen
	count, first := 0, int64(never)
	for i := range r.accesses {
		if a := &r.accesses[i]; a.openZero() && a.call < seen {
			count++
			first = min(first, a.call)
		}
	}
	r.accesses = slices.DeleteFunc(r.accesses, func(a access) bool {
		if a.openZero() {
			return a.call > seen || count > openZeroesMax
		}
		return count > openZeroesMax && a.kind == Read && a.cluster == initial && a.ret > first
	})
	for i := range r.accesses {
		if a := &r.accesses[i]; a.kind != Read && a.cluster != initial {
			r.clusters[a.cluster].write = int32(i)
		}
	}
}

func (a *access) openZero() bool { return a.kind == Write && a.cluster == initial && a.ret == never }

// loadReads checks every read's origin and notes the first return of each value.
func (r *register) loadReads(h *History, indexes []uint64, t *table) *Violation {
	for i, key := range indexes {
		e := &r.entries[i]
		if e.kind != Read || e.outcome != done {
			continue
		}
		c := initial
		if e.value != 0 {
			c = *t.slot(e.value, r.clusters)
		}
		switch {
		case c == none:
			return found(h, NeverWritten, r.block, uint32(key))
		case !r.clusters[c].live:
			return found(h, FailedSeen, r.block, uint32(key), writeOf(h, indexes, e.value))
		case !r.clusters[c].twice && c != initial && e.ret < r.clusters[c].wrote:
			return found(h, SeenBeforeWritten, r.block, uint32(key), writeOf(h, indexes, e.value))
		}
		r.clusters[c].firstSeen = min(r.clusters[c].firstSeen, e.ret)
		r.clusters[c].lastSeen = max(r.clusters[c].lastSeen, e.ret)
	}
	return nil
}

// settle makes the accesses.
func (r *register) settle(indexes []uint64, t *table) {
	for i, key := range indexes {
		e := &r.entries[i]
		a := access{call: e.call, ret: e.ret, value: e.value, entry: uint32(key), kind: e.kind}
		if e.value != 0 {
			a.cluster = *t.slot(e.value, r.clusters)
		}
		c := &r.clusters[a.cluster]
		switch {
		case e.outcome == failed || e.kind == Read && e.outcome != done:
			continue
		case e.kind == Read:
		case c.twice:
			if e.outcome == unknown && e.ret == 0 {
				a.ret = never
			}
			a.maybe = e.outcome == unknown && e.ret != 0
		case e.outcome == unknown && c.firstSeen == never:
			continue
		case e.outcome == unknown && e.ret == 0:
			a.ret = c.firstSeen
		default:
			a.ret = min(a.ret, c.firstSeen)
		}
		if a.kind == Zero || a.kind == WriteFUA && e.outcome != done {
			a.kind = Write
		}
		if a.kind != Read && a.cluster != initial {
			c.write = int32(len(r.accesses))
		}
		r.accesses = append(r.accesses, a)
	}
}

func newCluster(value uint64) cluster {
	return cluster{
		value: value, write: none, older: none, newest: none,
		firstSeen: never, minRet: never, maxCall: -1, first: none, last: none,
	}
}

func writeOf(h *History, indexes []uint64, value uint64) uint32 {
	i := slices.IndexFunc(indexes, func(key uint64) bool {
		e := h.at(uint32(key))
		return e.kind.writes() && e.value == value
	})
	return uint32(indexes[i])
}

// table finds a value's cluster: open addressing, kept between blocks.
type table struct {
	slots []int32
	mask  uint64
}

func (t *table) reset(entries int) {
	size := 8
	for size < 2*entries {
		size *= 2
	}
	if size > cap(t.slots) {
		t.slots = make([]int32, size)
	}
	t.slots, t.mask = t.slots[:size], uint64(size-1)
	for i := range t.slots {
		t.slots[i] = none
	}
}

// slot returns where value's cluster is noted, none if it has none yet.
func (t *table) slot(value uint64, clusters []cluster) *int32 {
	for i := scramble(value) & t.mask; ; i = (i + 1) & t.mask {
		if c := t.slots[i]; c == none || clusters[c].value == value {
			return &t.slots[i]
		}
	}
}
