package linearizability

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
)

// Verdict is what one of the two judges said of a violation's block.
type Verdict uint8

// The verdicts.
const (
	NotAsked  Verdict = iota // what is wrong was plain without a search
	Legal                    // an order explains every operation
	Illegal                  // none does
	Undecided                // a case that Zones leaves to porcupine, or porcupine ran out of time
)

func (v Verdict) String() string {
	switch v {
	case NotAsked:
		return "not asked"
	case Legal:
		return "legal"
	case Illegal:
		return "illegal"
	case Undecided:
		return "undecided"
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// Meaning says in plain words what a rule asks for, and what it is to have
// broken it.
func (r Rule) Meaning() string {
	switch r {
	case Damaged:
		return "A read returned content that no client ever wrote there: it is torn, mixed from several writes, corrupt, or belongs to another block."
	case NeverWritten:
		return "A read returned a value that no client ever asked to write to this block."
	case FailedSeen:
		return "A write was reported as failed, which promises that it never takes effect. A read returned its value all the same."
	case SeenBeforeWritten:
		return "A read returned a value, and was over, before anybody had asked to write that value."
	case NotLinearizable:
		return "Each block has to behave as if every operation on it happened at one moment between its call and its answer: " +
			"a read returns what the latest write before it left. No way to choose those moments explains these operations: " +
			"an acknowledged write was lost, an old value came back, or two readers saw two orders."
	case NotPrefix:
		return "When all copies lose power, writes that nobody had flushed may be lost, but only the latest ones: " +
			"if a write is there, everything that was ordered before it has to be there, on all blocks. Here an older write is missing while a younger one is there or had to be."
	case TimedOut:
		return "The search for an order of the operations did not end in the time it was given. Whether the history is right is not known."
	case JudgesDisagree:
		return "The two judges contradict each other. That is a mistake in this checker, not in the history: please report it with the file."
	}
	return ""
}

// Event is something that happened to the volume, or was done to the cluster,
// while the operations of a violation were under way.
type Event struct {
	From, To int64  // nanoseconds; equal for what happened at once
	Text     string // "power loss", "attach of era 4" or the words of History.Fault
	fault    bool   // else op is its entry
	op       Op
}

func (e Event) String() string {
	if e.From == e.To {
		return fmt.Sprintf("%s at %s", e.Text, clockText(e.From))
	}
	return fmt.Sprintf("%s from %s to %s", e.Text, clockText(e.From), clockText(e.To))
}

// Events returns what happened from the first call of v's operations to their
// last end: attaches, power losses and faults, in order.
func (v *Violation) Events() []Event {
	from, to := v.span()
	return v.history.events(from, to)
}

// Describe says in words what operation i of v.Ops was, how it ended, and what
// it has to do with the first one, which people count as 1.
func (v *Violation) Describe(i int) string {
	text := v.history.describe(v.Ops[i], uint32(v.Block))
	if role := v.role(i); role != "" {
		text += ": " + role
	}
	return text
}

// role says what operation i of v.Ops has to do with the first one.
func (v *Violation) role(i int) string {
	first, e := v.history.at(v.entryOf(v.Ops[0])), v.history.at(v.entryOf(v.Ops[i]))
	if i == 0 || first.kind != Read || first.outcome != done || !e.kind.writes() || e.block != first.block {
		return ""
	}
	over := e.outcome == done && e.ret < first.call
	switch {
	case e.value == first.value:
		return "it wrote what 1 returned"
	case over && v.origin(first).outcome == done && v.origin(first).ret < e.call:
		return "it had replaced what 1 returned before 1 began"
	case over:
		return "it was over before 1 began"
	}
	return ""
}

// origin returns the one of v's operations that wrote what read returned, or
// an entry of unknown outcome; zeroes were there before everything.
func (v *Violation) origin(read *entry) *entry {
	for _, op := range v.Ops {
		if e := v.history.at(v.entryOf(op)); e.kind.writes() && e.value == read.value && e.block == read.block {
			return e
		}
	}
	for _, e := range v.history.all() {
		if e.kind.writes() && e.value == read.value && e.block == read.block {
			return &entry{} // this one or another
		}
	}
	return &entry{outcome: done}
}

// events returns what happened between from and to.
func (h *History) events(from, to int64) (list []Event) {
	for i, e := range h.all() {
		if e.call < from || e.call > to {
			continue
		}
		switch e.kind {
		case Attach:
			list = append(list, Event{From: e.call, To: e.call, Text: fmt.Sprintf("attach of era %d", e.era), op: Op(i)})
		case PowerLoss:
			list = append(list, Event{From: e.call, To: e.call, Text: "power loss", op: Op(i)})
		case Read, Write, WriteFUA, Zero, Flush:
		}
	}
	for _, f := range h.faults {
		if f.to >= from && f.from <= to {
			list = append(list, Event{From: f.from, To: f.to, Text: f.text, fault: true})
		}
	}
	slices.SortStableFunc(list, func(a, b Event) int { return cmp.Compare(a.From, b.From) })
	return list
}

// span returns the first call of v's operations and their last end.
func (v *Violation) span() (from, to int64) {
	from = never
	for _, op := range v.Ops {
		e := v.history.at(uint32(op))
		from, to = min(from, e.call), max(to, e.call, e.ret)
	}
	return from, to
}

// Summary is how much a history holds.
type Summary struct {
	Operations  int `json:"operations"`
	Blocks      int `json:"blocks"`
	Clients     int `json:"clients"`
	Attaches    int `json:"attaches"`
	PowerLosses int `json:"power_losses"`
	Unknown     int `json:"unknown"` // operations whose outcome is not known
	Failed      int `json:"failed"`
}

// Summary counts what h holds.
func (h *History) Summary() (s Summary) {
	blocks, clients := map[block.Block]bool{}, map[uint16]bool{}
	last := Op(0)
	for i, e := range h.all() {
		switch e.kind {
		case Attach:
			s.Attaches++
			continue
		case PowerLoss:
			s.PowerLosses++
			continue
		case Flush:
		case Read, Write, WriteFUA, Zero:
			blocks[block.Block(e.block)] = true
		}
		clients[e.client] = true
		if i != 0 && i < uint32(last) {
			continue // of the same operation
		}
		last = Op(i + e.rest + 1)
		s.Operations++
		switch e.outcome {
		case unknown:
			s.Unknown++
		case failed:
			s.Failed++
		case done:
		}
	}
	s.Blocks, s.Clients = len(blocks), len(clients)
	return s
}
