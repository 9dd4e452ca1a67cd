package linearizability

import (
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Checker judges histories. It keeps its memory between them, so one Checker
// serves one goroutine. The zero Checker is ready.
type Checker struct {
	// Timeout bounds porcupine's search in one part of a block's history; 0
	// lets it end by itself. Leave it 0 where a result must be reproducible.
	Timeout time.Duration
	// Thorough has porcupine judge every block, also those that Zones finds
	// legal.
	Thorough bool

	keys     []uint64 // block<<32 | entry
	spare    []uint64 // for sorting them
	register register
	table    table
	order    []zone
	zeroings []int32 // accesses
	merged   []access
	cut      []part
}

// Check returns why h is not a history of linearizable blocks that lose by
// power losses only what they may; nil if it is one. The first block that is
// wrong is reported.
func (c *Checker) Check(h *History) *Violation {
	if len(h.damage) > 0 {
		d := h.damage[0]
		v := found(h, Damaged, h.at(d.entry).block, d.entry)
		v.cause = d.err
		return v
	}
	c.keys = c.keys[:0]
	for i, e := range h.all() {
		switch e.kind {
		case Read, Write, WriteFUA, Zero:
			c.keys = append(c.keys, uint64(e.block)<<32|uint64(i))
		case Flush, PowerLoss, Attach:
		}
	}
	c.sortKeys()
	c.register.losses = lossesOf(h, c.register.losses[:0])
	for from := 0; from < len(c.keys); {
		to := from + 1
		for to < len(c.keys) && c.keys[to]>>32 == c.keys[from]>>32 {
			to++
		}
		if v := c.block(h, c.keys[from:to]); v != nil {
			return v
		}
		from = to
	}
	return nil
}

// sortKeys brings the keys, which are in order of entries, in that of blocks:
// by digits of their blocks, for that is ten times as fast as comparing.
func (c *Checker) sortKeys() {
	const digit = 11
	most := uint64(0)
	for _, key := range c.keys {
		most = max(most, key>>32)
	}
	c.spare = slices.Grow(c.spare[:0], len(c.keys))[:len(c.keys)]
	for shift := 32; most>>(shift-32) > 0; shift += digit {
		var starts [1 << digit]uint32
		for _, key := range c.keys {
			starts[key>>shift%(1<<digit)]++
		}
		sum := uint32(0)
		for i, count := range starts {
			starts[i] = sum
			sum += count
		}
		for _, key := range c.keys {
			at := &starts[key>>shift%(1<<digit)]
			c.spare[*at] = key
			*at++
		}
		c.keys, c.spare = c.spare, c.keys
	}
}

// block judges one block, given by its entries.
func (c *Checker) block(h *History, keys []uint64) *Violation {
	r := &c.register
	if v := r.load(h, keys, &c.table); v != nil {
		return v
	}
	zones, why := c.zones(r)
	if zones == legal && !c.Thorough {
		return nil
	}
	result, failing := c.search(r)
	switch {
	case result == porcupine.Ok && zones != illegal:
		return nil
	case result == porcupine.Unknown:
		v := found(h, TimedOut, r.block)
		v.Zones, v.Porcupine = verdictOf(zones), Undecided
		return v
	}
	v := c.explain(h, why, zones, failing)
	v.Zones, v.Porcupine = verdictOf(zones), Illegal
	if result == porcupine.Ok {
		v.Porcupine = Legal
	}
	if v.Zones != Undecided && v.Zones != v.Porcupine {
		v.Rule = JudgesDisagree
	}
	return v
}

func verdictOf(j judgement) Verdict {
	switch j {
	case legal:
		return Legal
	case illegal:
		return Illegal
	case undecided:
	}
	return Undecided
}
