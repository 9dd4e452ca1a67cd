package disk

import "slices"

// entry is one write of (part of) a sector that a power loss could take away.
type entry struct {
	number uint64 // of the operation that wrote it
	stamp  uint64 // its place in the order of completion; 0: still in flight
	at     uint32 // of the old bytes in the arena
	sector uint32
	from   uint16
	length uint16
	lost   bool // a failed sync forgot it: only a newer write of the sector can make it durable
}

// undoLog holds, oldest first, what every un-synced write overwrote. The
// versions of a sector are its content now and, going back, what is left when
// its entries are undone; without entries its content is durable.
type undoLog struct {
	entries []entry
	arena   []byte
}

func (l *undoLog) push(e entry, old []byte) {
	e.at = uint32(len(l.arena))
	l.arena = append(l.arena, old...)
	l.entries = append(l.entries, e)
}

// stamp marks the count entries of an operation as completed. They are near
// the end: the operation was in flight until now.
func (l *undoLog) stamp(number uint64, count int, stamp uint64) {
	for i := len(l.entries) - 1; i >= 0 && count > 0; i-- {
		if e := &l.entries[i]; e.number == number {
			e.stamp = stamp
			count--
		}
	}
}

func (e *entry) covered(by uint64) bool { return e.stamp != 0 && e.stamp <= by && !e.lost }

// settle makes durable what completed up to cover, and with each sector also
// what it held before.
func (l *undoLog) settle(cover uint64) {
	n := 0
	for n < len(l.entries) && l.entries[n].covered(cover) {
		n++
	}
	rest := l.entries[n:]
	if !slices.ContainsFunc(rest, func(e entry) bool { return e.covered(cover) }) {
		l.keep(rest) // the usual case: what is not covered came later
		return
	}
	settled := make(map[uint32]bool)
	kept := make([]entry, 0, len(rest))
	for i := len(rest) - 1; i >= 0; i-- {
		switch e := &rest[i]; {
		case e.covered(cover):
			settled[e.sector] = true
		case !settled[e.sector]:
			kept = append(kept, *e)
		}
	}
	slices.Reverse(kept)
	l.keep(kept)
}

// swallow is a failed sync after which the cache takes its content for durable.
func (l *undoLog) swallow(cover uint64) {
	for i := range l.entries {
		if e := &l.entries[i]; e.covered(cover) {
			e.lost = true
		}
	}
}

// drop is a failed sync after which the cache forgot the content as well:
// reads return what was there before.
func (l *undoLog) drop(cover uint64, c *content) {
	newer := make(map[uint32]bool)
	kept := make([]entry, 0, len(l.entries))
	for i := len(l.entries) - 1; i >= 0; i-- {
		e := l.entries[i]
		if e.covered(cover) && !newer[e.sector] {
			l.undo(&e, c)
			continue
		}
		e.lost = e.lost || e.covered(cover)
		newer[e.sector] = true
		kept = append(kept, e)
	}
	slices.Reverse(kept)
	l.keep(kept)
}

func (l *undoLog) undo(e *entry, c *content) {
	at := int64(e.sector)*int64(c.sector) + int64(e.from)
	c.restore(at, l.arena[e.at:e.at+uint32(e.length)])
}

// keep makes entries, in order and all of this log, its only ones.
func (l *undoLog) keep(entries []entry) {
	l.entries = append(l.entries[:0], entries...)
	end := uint32(0)
	for i := range l.entries {
		e := &l.entries[i]
		copy(l.arena[end:], l.arena[e.at:e.at+uint32(e.length)])
		e.at = end
		end += uint32(e.length)
	}
	l.arena = l.arena[:end]
}

func (l *undoLog) clone() undoLog {
	return undoLog{entries: slices.Clone(l.entries), arena: slices.Clone(l.arena)}
}
