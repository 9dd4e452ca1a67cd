package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

type leafID struct {
	tree uint64
	leaf uint64
}

// leaf is one leaf page in memory.
type leaf struct {
	tree    *tree
	number  uint64
	content format.Leaf
	loaded  bool
	again   bool // its page was read a second time
	dirty   bool
	busy    bool
	pins    int     // jobs that hold it across disk operations
	waiters []int32 // jobs that wait until it is loaded
	buffer  block.Buffer
	older   int32 // towards the least recently used
	newer   int32
}

// leafCache keeps leaves in memory, the least recently used clean ones go first.
// Only those are linked: whoever needs room does not pass thousands that must stay.
type leafCache struct {
	find   map[leafID]int32
	leaves []*leaf
	free   []int32
	oldest int32
	newest int32
	dirty  int
	limit  int
	trees  uint64
	listed []int32 // dirty ones, in the order they became so
}

func (c *leafCache) init(cacheBytes int) {
	c.find = make(map[leafID]int32)
	c.oldest, c.newest = -1, -1
	c.limit = max(64, cacheBytes/format.PageSize)
}

// peek returns the descriptor of a chunk if it is in memory.
func (c *leafCache) peek(t *tree, chunk block.Chunk) *format.Descriptor {
	i, ok := c.find[leafID{t.id, uint64(chunk) / format.LeafChunks}]
	if !ok || !c.leaves[i].loaded {
		return nil
	}
	return &c.leaves[i].content[chunk%format.LeafChunks]
}

func (c *leafCache) unlink(i int32) {
	l := c.leaves[i]
	if l.older >= 0 {
		c.leaves[l.older].newer = l.newer
	} else {
		c.oldest = l.newer
	}
	if l.newer >= 0 {
		c.leaves[l.newer].older = l.older
	} else {
		c.newest = l.older
	}
}

func (c *leafCache) link(i int32) {
	l := c.leaves[i]
	l.older, l.newer = c.newest, -1
	if c.newest >= 0 {
		c.leaves[c.newest].newer = i
	} else {
		c.oldest = i
	}
	c.newest = i
}

// get returns the leaf that describes chunk. If it is not in memory, it is read
// and job is resumed then.
func (s *Store) leafFor(t *tree, number uint64, job int32, out *step.Effects) (at int32, ready bool) {
	c := &s.leaves
	id := leafID{t.id, number}
	if i, ok := c.find[id]; ok {
		l := c.leaves[i]
		if !l.loaded {
			l.waiters = append(l.waiters, job)
			return i, false
		}
		if !l.dirty {
			c.unlink(i)
			c.link(i)
		}
		return i, true
	}
	i := s.newLeaf(t, number)
	l := c.leaves[i]
	child := t.child(number)
	switch {
	case t.lost:
		l.loseAll(format.Child{Has: everyChunk})
	case child.Page == 0 && child.AllZero:
		l.content.FillZero(child.MaxSeq)
	case child.Page != 0:
		l.loaded = false
		l.waiters = append(l.waiters, job)
		l.buffer = s.params.Pool.Get(format.PageSize)
		s.readLeaf(i, out)
	}
	return i, l.loaded
}

// leafOf returns the first leaf of t from from on, on the disk or in memory.
func (s *Store) leafOf(t *tree, from uint64) (number uint64, some bool) {
	return s.leafAbove(t, from, 0)
}

// leafAbove leaves out those on the disk that have no change above since.
func (s *Store) leafAbove(t *tree, from uint64, since block.Seq) (number uint64, some bool) {
	number, some = t.next(from, since)
	if dirty, ok := s.leaves.nextDirty(t, from); ok && (!some || dirty < number) {
		number, some = dirty, true
	}
	return number, some
}

// pinFor makes leaf number of t the job's own, which stays in memory. It reports
// false if it must be read first.
func (s *Store) pinFor(i int32, t *tree, number uint64, out *step.Effects) bool {
	j := s.jobs.table[i]
	if j.leaf >= 0 {
		if l := s.leaves.leaves[j.leaf]; l.tree != t || l.number != number {
			s.unpin(&j.leaf) // it went while the job waited for another
		}
	}
	if j.leaf < 0 {
		at, ready := s.leafFor(t, number, i, out)
		if !ready {
			return false
		}
		j.leaf = at
		s.leaves.leaves[at].pins++
	}
	return true
}

// unpin lets a leaf go that a job holds.
func (s *Store) unpin(at *int32) {
	if *at >= 0 {
		s.leaves.leaves[*at].pins--
		*at = -1
	}
}

func (s *Store) readLeaf(i int32, out *step.Effects) {
	l := s.leaves.leaves[i]
	io := s.begin(ioLeaf, i)
	s.piece(io, l.buffer.Retain())
	s.emit(io, step.DiskRead, s.pageAddress(l.tree.child(l.number).Page), out)
}

// newLeaf takes an empty leaf into the cache and drops one too many.
func (s *Store) newLeaf(t *tree, number uint64) int32 {
	c := &s.leaves
	for i := c.oldest; i >= 0 && len(c.find) >= c.limit; {
		l := c.leaves[i]
		newer := l.newer
		if l.loaded && l.pins == 0 {
			c.remove(i)
		}
		i = newer
	}
	var i int32
	if n := len(c.free); n > 0 {
		i = c.free[n-1]
		c.free = c.free[:n-1]
	} else {
		c.leaves = append(c.leaves, &leaf{})
		i = int32(len(c.leaves) - 1)
	}
	l := c.leaves[i]
	*l = leaf{tree: t, number: number, loaded: true, busy: true, waiters: l.waiters[:0]}
	c.find[leafID{t.id, number}] = i
	c.link(i)
	return i
}

// clean notes that a leaf has nothing any more that is not on the disk.
func (c *leafCache) clean(i int32) {
	if l := c.leaves[i]; l.dirty {
		l.dirty = false
		c.link(i)
	}
}

func (c *leafCache) remove(i int32) {
	l := c.leaves[i]
	c.unlink(i)
	delete(c.find, leafID{l.tree.id, l.number})
	l.busy = false
	c.free = append(c.free, i)
}

const everyChunk = 1<<format.LeafChunks - 1

// loseAll marks every block of the chunks that had anything as bad: the page that
// described them is gone. Each may be the one that changed last: a list of what
// changed that left one out would have others take it for one that never was.
func (l *leaf) loseAll(was format.Child) {
	for i := range l.content {
		l.content[i] = format.Descriptor{}
		if was.Has&(1<<i) != 0 {
			l.content[i] = format.Descriptor{States: 0xffff_ffff, LastSeq: was.MaxSeq}
		}
	}
}

func (s *Store) onLeafRead(i int32, err step.DiskError, out *step.Effects) {
	l := s.leaves.leaves[i]
	child := l.tree.child(l.number)
	body, _, bad := format.OpenPage(l.buffer.Bytes(), format.PageLeaf, s.super.Pool, s.pageAddress(child.Page), child.CRC, l.number)
	if bad == nil {
		bad = format.DecodeLeaf(body, uint32(s.slots.Total()), &l.content)
	}
	if (err != step.DiskOK || bad != nil) && !l.again {
		out.Marks.Hit("store: leaf page read a second time")
		l.again = true
		s.readLeaf(i, out)
		return
	}
	if err != step.DiskOK || bad != nil {
		out.Marks.Hit("store: leaf page lost")
		l.loseAll(child)
		s.damageReaders(l.tree)
	}
	l.buffer.Release()
	l.buffer = block.Buffer{}
	l.loaded = true
	l.pins++ // the first waiter must not lose it to the second's needs
	waiters := l.waiters
	for _, job := range waiters {
		s.resume(job, out)
	}
	l.waiters = l.waiters[:0]
	l.pins--
}

// damageReaders marks the replicas that read through the layer of a tree of
// which a page is lost.
func (s *Store) damageReaders(t *tree) {
	for _, r := range s.replicas {
		for l := r.head; l != nil; l = l.parent {
			r.damaged = r.damaged || l.tree == t || l.under == t
		}
		for _, l := range r.snapshots {
			r.damaged = r.damaged || l.tree == t || l.under == t
		}
	}
}

// changed notes that the descriptor of a chunk in leaf i changed: reads that
// look from above must find it.
func (s *Store) changed(i int32, c block.Chunk) {
	l := s.leaves.leaves[i]
	s.dirtied(i)
	child, bit := l.tree.child(l.number), uint64(1)<<(c%format.LeafChunks)
	if child.Has&bit == 0 {
		child.Has |= bit
		l.tree.setChild(l.number, child)
	}
}

// dirtied lists a leaf for the next checkpoint, and for those that count it.
func (s *Store) dirtied(i int32) {
	l := s.leaves.leaves[i]
	l.tree.asLower.touch(l.number)
	l.tree.asUpper.touch(l.number)
	if !l.dirty {
		s.leaves.unlink(i)
		l.dirty = true
		s.leaves.dirty++
		s.leaves.listed = append(s.leaves.listed, i)
	}
}
