package linearizability

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// partMin is how many accesses a part of a block's history has at least before
// it is cut: porcupine's cost per access grows with the length.
const partMin = 512

// state is a block between two accesses. It is comparable.
type state struct {
	value uint64
	// kept are the values that a power loss may leave, 8 bytes each, ascending;
	// of those only what a read after such a loss asks for. Empty where no
	// power loss is ahead.
	kept string
	lost bool // a power loss came and nobody has looked: value is any of kept
}

// part is a piece of a block's history that begins in a known state.
type part struct {
	accesses []access
	from     state
}

// step is the register: what a does to s, and whether it could.
func step(s state, a *access) (bool, state) {
	switch a.kind {
	case Read:
		if s.lost {
			return contains(s.kept, a.value), state{value: a.value, kept: pack(a.value)}
		}
		return s.value == a.value, s
	case Write, Zero:
		if a.tracked {
			s.kept = insert(s.kept, a.value)
		}
		s.value, s.lost = a.value, false
	case WriteFUA:
		s = state{value: a.value}
		if a.tracked {
			s.kept = pack(a.value)
		}
	case Flush:
		if !s.lost {
			s.kept = pack(s.value)
		}
	case PowerLoss:
		s.value, s.lost = 0, true
	case Attach:
	}
	return true, s
}

// search judges r with porcupine, part by part, and returns the part that is
// not Ok.
func (c *Checker) search(r *register) (porcupine.CheckResult, part) {
	for _, p := range c.parts(r, partMin) {
		if result := porcupine.CheckOperationsTimeout(p.model(), p.operations(nil), c.Timeout); result != porcupine.Ok {
			return result, p
		}
	}
	return porcupine.Ok, part{}
}

// parts cuts r where the state is known: after an access that overlaps no
// other. With a power loss ahead the state includes what is safe, so there a
// flush has to come before the loss. A part has at least least accesses.
func (c *Checker) parts(r *register, least int) []part {
	c.merged = append(c.merged[:0], r.accesses...)
	r.track(c.merged)
	for _, l := range r.losses {
		c.merged = append(c.merged, access{call: l.at, ret: l.at, kind: PowerLoss, entry: l.entry})
		if l.kept {
			c.merged = append(c.merged, access{call: l.since, ret: l.since, kind: Flush, entry: l.flush})
		}
	}
	if len(r.losses) > 0 {
		slices.SortFunc(c.merged, func(a, b access) int { return cmp.Compare(a.call, b.call) })
	}
	from := state{}
	if len(r.losses) > 0 {
		from.kept = pack(0)
	}
	all, start, latest := c.merged, 0, int64(0)
	c.cut = c.cut[:0]
	for i := range all {
		a := &all[i]
		alone := latest < a.call && i+1 < len(all) && a.ret < all[i+1].call
		latest = max(latest, a.ret)
		if !alone || i+1-start < least || a.kind > Zero || a.maybe || !r.safeToCut(a.call) {
			continue
		}
		c.cut = append(c.cut, part{accesses: all[start : i+1], from: from})
		start, from = i+1, state{value: a.value}
		if len(r.losses) > 0 {
			from.kept = pack(a.value)
		}
	}
	return append(c.cut, part{accesses: all[start:], from: from})
}

// safeToCut reports whether no power loss after at depends on what was safe
// then.
func (r *register) safeToCut(at int64) bool {
	for _, l := range r.losses {
		if l.at > at {
			return l.kept && l.since > at
		}
	}
	return true
}

// track marks the writes that a power loss may leave and a later read returned.
func (r *register) track(accesses []access) {
	for i := range accesses {
		a := &accesses[i]
		if a.kind == Read {
			continue
		}
		for _, l := range r.losses {
			if a.call < l.at {
				a.tracked = l.at < r.clusters[a.cluster].lastSeen
				break
			}
		}
	}
}

// model is the register as porcupine wants it. Where a write may have taken
// effect or not, the state is the set of both outcomes.
func (p part) model() porcupine.Model {
	if slices.ContainsFunc(p.accesses, func(a access) bool { return a.maybe }) {
		both := porcupine.NondeterministicModel{
			Init:              func() []any { return []any{p.from} },
			Step:              maybeStep,
			Hash:              func(s any) uint64 { return s.(state).hash() },
			DescribeOperation: describe,
			DescribeState:     func(s any) string { return s.(state).String() },
		}
		return both.ToModel()
	}
	return porcupine.Model{
		Init: func() any { return p.from },
		Step: func(s, input, _ any) (bool, any) {
			before := s.(state)
			ok, after := step(before, input.(*access))
			if !ok || after == before {
				return ok, s // saves an allocation
			}
			return true, after
		},
		Equal:             func(a, b any) bool { return a.(state) == b.(state) },
		Hash:              func(s any) uint64 { return s.(state).hash() },
		DescribeOperation: describe,
		DescribeState:     func(s any) string { return s.(state).String() },
	}
}

func maybeStep(s, input, _ any) []any {
	a := input.(*access)
	ok, after := step(s.(state), a)
	switch {
	case !ok:
		return nil
	case a.maybe:
		return []any{after, s}
	}
	return []any{after}
}

func describe(input, _ any) string { return input.(*access).String() }

func (s state) hash() uint64 {
	h := scramble(s.value)
	for i := 0; i < len(s.kept); i += 8 {
		h = scramble(h ^ binary.BigEndian.Uint64([]byte(s.kept[i:i+8])))
	}
	return h
}

// operations returns the part's accesses as porcupine wants them; clientOf may
// be nil where nobody looks.
func (p part) operations(clientOf func(*access) int) []porcupine.Operation {
	ops := make([]porcupine.Operation, len(p.accesses))
	for i := range p.accesses {
		a := &p.accesses[i]
		ops[i] = porcupine.Operation{Input: a, Call: a.call, Return: a.ret}
		if clientOf != nil {
			ops[i].ClientId = clientOf(a)
		}
	}
	return ops
}

func (a *access) String() string {
	if a.maybe {
		return fmt.Sprintf("%s %s or nothing", a.kind, valueText(a.value))
	}
	switch a.kind {
	case Read:
		return "read " + valueText(a.value)
	case Write, WriteFUA, Zero:
		return fmt.Sprintf("%s %s", a.kind, valueText(a.value))
	case Flush, PowerLoss, Attach:
	}
	return a.kind.String()
}

func (s state) String() string {
	text := valueText(s.value)
	if s.lost {
		text = "lost"
	}
	for i := 0; i < len(s.kept); i += 8 {
		text += fmt.Sprintf(", may keep %s", valueText(binary.BigEndian.Uint64([]byte(s.kept[i:i+8]))))
	}
	return text
}

func pack(value uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], value)
	return string(b[:])
}

func contains(kept string, value uint64) bool {
	_, is := find(kept, value)
	return is
}

func insert(kept string, value uint64) string {
	at, is := find(kept, value)
	if is {
		return kept
	}
	return kept[:at] + pack(value) + kept[at:]
}

// find returns where value stands or belongs in kept.
func find(kept string, value uint64) (int, bool) {
	sought := pack(value)
	at := 0
	for at < len(kept) && kept[at:at+8] < sought {
		at += 8
	}
	return at, at < len(kept) && kept[at:at+8] == sought
}

// clockText writes a time of a history for people.
func clockText(ns int64) string {
	if ns == never {
		return "the end"
	}
	return time.Duration(ns).String()
}
