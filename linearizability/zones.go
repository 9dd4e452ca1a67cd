package linearizability

import (
	"cmp"
	"slices"
)

// judgement is what a judge says of a block.
type judgement uint8

const (
	legal judgement = iota
	illegal
	undecided // a case that Zones leaves to porcupine
)

// zone is the time during which a cluster's value must have been the current
// one (forward: from the first return to the last call), or within which it was
// current at some moment (backward: all its operations overlap).
type zone struct {
	low, high int64
	cluster   int32
	forward   bool
}

// conflict is the evidence of an illegal block: two clusters that exclude each
// other, or the operations that break a power loss.
type conflict struct {
	a, b int32
	loss int32 // index of the power loss that was not survived as it must be, or none
}

// zones judges r in n log n steps. A history of unique writes is linearizable
// exactly if no two forward zones overlap and no backward zone lies within a
// forward one. A power loss becomes part of such a history:
//
//	             F ─── read of v ───┐
//	… W(v) … flush ……………………… power loss: write of v' … read of v' …
//
// If v was written before the loss and read after it, then v survived, so v was
// the current value at some moment since the last flush F that counts: a read
// of v between F and the loss. The loss itself writes v again, as v', the value
// that later reads mean. If nothing was read that is older than the loss, it
// writes a value that nobody reads.
//
// A write whose first read returned after the loss is no survivor: it took
// effect after the loss just as well, and that leaves every other value its
// chance to survive. Reads of v under way during the loss cannot disagree with
// v', so they mean v'.
func (c *Checker) zones(r *register) (judgement, conflict) {
	switch {
	case r.twice, r.zeroed && len(r.losses) > 0:
		return undecided, conflict{}
	case r.zeroed:
		return c.guess(r), conflict{}
	}
	for i := range r.losses {
		if j := r.survive(int32(i)); j != legal {
			return j, conflict{a: none, b: none, loss: int32(i)}
		}
	}
	for i := range r.accesses {
		a := &r.accesses[i]
		k := a.cluster
		if a.kind == Read {
			k = r.version(k, a.ret)
		}
		r.add(k, a.call, a.ret, int32(i))
	}
	return c.sweep(r)
}

// guess gives every read of zeroes an origin: the last zeroing that was called
// before the read returned. If r is legal with those it is legal; if not, there
// may be other origins.
func (c *Checker) guess(r *register) judgement {
	known := len(r.clusters)
	defer func() { r.clusters = r.clusters[:known] }()
	c.zeroings = c.zeroings[:0]
	for i := range r.accesses {
		if a := &r.accesses[i]; a.cluster == initial && a.kind != Read {
			c.zeroings = append(c.zeroings, int32(i))
			r.clusters = append(r.clusters, newCluster(0))
		}
	}
	for i := range r.accesses {
		a := &r.accesses[i]
		switch {
		case a.cluster != initial:
			r.add(a.cluster, a.call, a.ret, int32(i))
		case a.kind == Read:
			r.add(c.origin(r, a, known), a.call, a.ret, int32(i))
		}
	}
	for n, i := range c.zeroings {
		a, k := &r.accesses[i], int32(known+n)
		if seen := r.clusters[k].maxCall >= 0; seen || !a.maybe && a.ret != never { // else it may have happened never
			r.add(k, a.call, a.ret, i)
		}
	}
	if j, _ := c.sweep(r); j != legal {
		return undecided
	}
	return legal
}

// origin returns the cluster of the zeroing that a read is taken to have seen;
// those of zeroings begin at first.
func (c *Checker) origin(r *register, read *access, first int) int32 {
	n, _ := slices.BinarySearchFunc(c.zeroings, read.ret, func(i int32, ret int64) int { return cmp.Compare(r.accesses[i].call, ret) })
	if n == 0 {
		return initial
	}
	return int32(first + n - 1)
}

// sweep compares the zones of r's clusters in order of their beginnings.
func (c *Checker) sweep(r *register) (judgement, conflict) {
	c.order = c.order[:0]
	for i := range r.clusters {
		k := &r.clusters[i]
		if k.maxCall < 0 {
			continue // zeroes that nobody read, or a write that was dropped
		}
		z := zone{low: k.maxCall, high: k.minRet, cluster: int32(i)}
		if k.minRet < k.maxCall {
			z.low, z.high, z.forward = k.minRet, k.maxCall, true
		}
		c.order = append(c.order, z)
	}
	slices.SortFunc(c.order, func(a, b zone) int {
		if a.low == b.low && a.forward != b.forward {
			// Only a power loss begins two zones at once: what it wrote comes
			// before what the next loss asks of the time since.
			if a.forward {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.low, b.low)
	})
	current := zone{high: -1}
	for _, z := range c.order {
		if z.forward && z.low < current.high || !z.forward && z.high < current.high {
			return illegal, conflict{a: current.cluster, b: z.cluster, loss: none}
		}
		if z.forward {
			current = z
		}
	}
	return legal, conflict{}
}

// add counts an operation to cluster k.
func (r *register) add(k int32, call, ret int64, access int32) {
	c := &r.clusters[k]
	if k == initial {
		c.minRet = 0 // zeroes were there before everything
	}
	if ret < c.minRet || ret == c.minRet && access != none && r.accesses[access].kind == Read {
		c.minRet, c.first = ret, access
	}
	if call > c.maxCall {
		c.maxCall, c.last = call, access
	}
}

// newest returns the cluster that value cluster k has become.
func (r *register) newest(k int32) int32 {
	if n := r.clusters[k].newest; n != none {
		return n
	}
	return k
}

// version returns the cluster that a read of value cluster k means which
// returned at ret.
func (r *register) version(k int32, ret int64) int32 {
	for k = r.newest(k); r.clusters[k].since > ret; {
		k = r.clusters[k].older
	}
	return k
}

// written returns when cluster k's value was written.
func (r *register) written(k int32) (call, ret int64) {
	c := &r.clusters[k]
	if c.write == none {
		return c.since, c.since // by a power loss, or before everything
	}
	return r.accesses[c.write].call, r.accesses[c.write].ret
}

// survive makes power loss i part of a history of unique writes, as zones says.
func (r *register) survive(i int32) judgement {
	l := r.losses[i]
	survivor, value := none, none
	underWay := false
	for j := range r.accesses {
		a := &r.accesses[j]
		if a.kind != Read || a.ret < l.at {
			continue
		}
		k := r.newest(a.cluster)
		if _, ret := r.written(k); ret > l.at {
			continue // written after the loss
		}
		if a.call < l.at {
			underWay = true
			continue
		}
		if survivor != none && survivor != k {
			return illegal // two values cannot both survive
		}
		survivor, value = k, a.cluster
	}
	made := int32(len(r.clusters))
	r.clusters = append(r.clusters, newCluster(0))
	c := &r.clusters[made]
	c.since, c.minRet, c.maxCall = l.at, l.at, l.at
	if survivor == none {
		if underWay {
			return undecided // the survivor may be what that read returned, or not
		}
		return legal
	}
	c.value, c.older = r.clusters[value].value, survivor
	r.clusters[value].newest = made
	r.add(survivor, l.since, l.at, none)
	return r.fua(l, survivor)
}

// fua says whether survivor may have survived l in spite of the writes with
// FUA, each of which outlives every value before it.
func (r *register) fua(l loss, survivor int32) judgement {
	call, ret := r.written(survivor)
	j := legal
	for i := range r.accesses {
		a := &r.accesses[i]
		switch {
		case a.kind != WriteFUA || a.call > l.at || int32(i) == r.clusters[survivor].write:
		case a.ret > l.at:
			j = undecided // before or after the loss
		case a.ret < call:
		case ret < a.call:
			return illegal
		default:
			j = undecided // before or after the survivor
		}
	}
	return j
}
