package linearizability

import (
	"github.com/lagan-storage/lagan/core/block"
)

// bound is a limit on where the stream was cut, and what shows it.
type bound struct {
	at    block.Position
	write uint32 // entry of the write that stands there
	shown uint32 // entry of the read, flush or write that shows it
	set   bool
}

// CheckPrefix returns why the image after some power loss of h is not a prefix
// of the volume's stream; nil if it may be one. It needs the places of writes
// (History.Place): a write without one proves nothing.
//
// There must be a cut c such that every block showed its newest write up to c:
//
//	stream   … W1(b3) … W2(b9) … flush … W3(b3) …
//	                               ├──── c ────┤    b3 read W1, W2 was flushed
//
// c lies at or above every write that survived, was acknowledged before a
// flush that counts, or was acknowledged with FUA; and below the first
// acknowledged write that would have hidden what was read. What was written
// before an earlier power loss proves nothing about a later one: only the rest
// of the stream was cut. Unacknowledged writes that nobody saw may have been
// dropped, so they hide nothing.
func CheckPrefix(h *History) *Violation {
	losses := lossesOf(h, nil)
	if len(losses) == 0 {
		return nil
	}
	p := prefix{h: h, writes: map[uint32][]uint32{}}
	for i, e := range h.all() {
		if e.kind.writes() && e.outcome != failed {
			p.writes[e.block] = append(p.writes[e.block], i)
		}
	}
	for i, l := range losses {
		p.loss, p.from = l, 0
		if i > 0 {
			p.from = losses[i-1].at
		}
		if v := p.check(); v != nil {
			return v
		}
	}
	return nil
}

// prefix looks for the cut of one power loss.
type prefix struct {
	h         *History
	writes    map[uint32][]uint32 // by block, in order of calls
	loss      loss
	from      int64 // the power loss before it, or 0
	low, high bound
}

// check collects the bounds of the cut and compares them.
func (p *prefix) check() *Violation {
	h, l := p.h, p.loss
	p.low, p.high = bound{}, bound{}
	for i, e := range h.all() {
		at, known := h.place(i)
		switch {
		case known && p.cuttable(e):
			if l.kept && e.ret < l.since {
				p.low.raise(at, i, l.flush)
			}
			if e.kind == WriteFUA {
				p.low.raise(at, i, i)
			}
		case e.kind == Read && e.outcome == done && e.call > l.at:
			p.read(i)
		}
	}
	if !p.low.set || !p.high.set || p.low.at.Less(p.high.at) {
		return nil
	}
	v := found(h, NotPrefix, h.at(p.high.shown).block, p.high.shown, p.high.write, p.low.write, p.low.shown)
	v.lossy, v.after = true, Op(l.entry)
	return v
}

// cuttable reports whether e is a write that was acknowledged between the last
// power loss and this one.
func (p *prefix) cuttable(e *entry) bool {
	return e.kind.writes() && e.outcome == done && e.call > p.from && e.ret < p.loss.at
}

// read takes the bounds from read i, unless the value it returned is younger
// than the power loss, or may be. A later power loss does not matter: what is
// older than this one must have survived both.
func (p *prefix) read(i uint32) {
	e := p.h.at(i)
	origin, origins := uint32(0), 0
	for _, j := range p.writes[e.block] {
		if w := p.h.at(j); w.value == e.value && w.call < e.ret {
			origin, origins = j, origins+1
		}
	}
	if e.value == 0 {
		origins++ // the volume began with zeroes
	}
	if origins != 1 {
		return // damaged or not certain: Check's business
	}
	survived := bound{}
	if w := p.h.at(origin); e.value != 0 {
		at, known := p.h.place(origin)
		switch {
		case w.call > p.loss.at || w.outcome == done && w.ret > p.loss.at || !known:
			return
		case w.call > p.from:
			survived = bound{at: at, write: origin, shown: i, set: true}
			p.low.raise(at, origin, i)
		case w.outcome != done || w.ret > p.from:
			return
		}
	}
	for _, j := range p.writes[e.block] {
		at, known := p.h.place(j)
		if !known || !p.cuttable(p.h.at(j)) || survived.set && !survived.at.Less(at) {
			continue
		}
		if !p.high.set || at.Less(p.high.at) {
			p.high = bound{at: at, write: j, shown: i, set: true}
		}
	}
}

// raise lifts a lower bound to at.
func (b *bound) raise(at block.Position, write, shown uint32) {
	if !b.set || b.at.Less(at) {
		*b = bound{at: at, write: write, shown: shown, set: true}
	}
}
