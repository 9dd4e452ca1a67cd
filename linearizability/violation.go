package linearizability

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/lagan-storage/lagan/core/block"
)

// Rule is what a history broke.
type Rule uint8

// The rules. The first four need no search.
const (
	Damaged           Rule = iota + 1 // a read returned no stamp that could stand there
	NeverWritten                      // a read returned a value that nobody wrote
	FailedSeen                        // a read returned the value of a write that had failed
	SeenBeforeWritten                 // a read returned a value before its write was called
	NotLinearizable                   // no order explains the operations of a block
	NotPrefix                         // what a power loss left is no prefix of the stream
	TimedOut                          // porcupine did not finish: not known to be legal
	JudgesDisagree                    // a mistake in this package
)

func (r Rule) String() string {
	switch r {
	case Damaged:
		return "damaged"
	case NeverWritten:
		return "never written"
	case FailedSeen:
		return "failed write seen"
	case SeenBeforeWritten:
		return "seen before written"
	case NotLinearizable:
		return "not linearizable"
	case NotPrefix:
		return "not a prefix"
	case TimedOut:
		return "timed out"
	case JudgesDisagree:
		return "judges disagree"
	}
	return fmt.Sprintf("rule %d", uint8(r))
}

// Violation says how a history went wrong: a verdict, not an error of the
// checker.
type Violation struct {
	Rule   Rule
	Volume block.VolumeID
	Block  block.Block
	// Ops are the operations that contradict each other: first the one that
	// shows it, as a rule a read.
	Ops []Op
	// Zones and Porcupine are what the two judges said of the block.
	Zones, Porcupine Verdict

	history  *History
	cause    error // of Damaged
	after    Op    // the power loss that explains the contradiction, if lossy
	lossy    bool
	accesses []access // of the shortest part that fails, for the picture
	from     state
}

// found returns a violation of block b shown by entries.
func found(h *History, rule Rule, b uint32, entries ...uint32) *Violation {
	v := &Violation{Rule: rule, Volume: h.volume, Block: block.Block(b), history: h}
	for _, i := range entries {
		if op := h.opOf(i); !slices.Contains(v.Ops, op) {
			v.Ops = append(v.Ops, op)
		}
	}
	return v
}

// Cause returns why a read was Damaged: an ErrDamaged or ErrMisplaced. It is
// nil for the other rules.
func (v *Violation) Cause() error { return v.cause }

// String returns one line: the block and the operations that contradict.
func (v *Violation) String() string {
	texts := make([]string, len(v.Ops))
	for i, op := range v.Ops {
		texts[i] = v.history.describe(op, uint32(v.Block))
	}
	text := func(i int) string {
		if i < len(texts) {
			return texts[i]
		}
		return "an operation"
	}
	where := fmt.Sprintf("block %d: ", v.Block)
	if v.lossy {
		where += fmt.Sprintf("after the power loss at %s, ", clockText(v.history.at(uint32(v.after)).call))
	}
	switch v.Rule {
	case Damaged:
		return where + text(0)
	case NeverWritten:
		return where + text(0) + ", which nobody had written"
	case FailedSeen:
		return where + text(0) + " of a write that had definitely failed: " + text(1)
	case SeenBeforeWritten:
		return where + text(0) + " before its write was called: " + text(1)
	case NotPrefix:
		return where + text(0) + ", so the image lacks " + text(1) + ", yet what is later in the stream is there or must be: " + strings.Join(texts[min(2, len(texts)):], "; ")
	case TimedOut:
		return where + "the search for an order did not end in time, so it is not known to be legal: check it without a timeout or record fewer operations per block"
	case JudgesDisagree:
		return where + "the two judges disagree, which is a mistake in the checker: " + strings.Join(texts, "; ")
	case NotLinearizable:
	}
	if len(texts) < 2 {
		return where + text(0) + ", which no order of the operations explains"
	}
	return where + text(0) + ", which contradicts " + strings.Join(texts[1:], "; ")
}

// explain makes the violation of the block that was just judged: from the
// conflict that Zones found, else from how far porcupine got.
func (c *Checker) explain(h *History, why conflict, zones judgement, failing part) *Violation {
	r := &c.register
	v := found(h, NotLinearizable, r.block)
	var entries []uint32
	switch {
	case zones == illegal && why.loss != none:
		entries = r.blameLoss(why.loss)
	case zones == illegal:
		entries = r.blame(why)
	}
	if len(failing.accesses) > 0 {
		failing = c.narrow(r, failing, entries)
	}
	v.accesses, v.from = failing.accesses, failing.from
	if entries == nil {
		entries = stuck(failing)
	}
	w := found(h, v.Rule, r.block, entries...)
	v.Ops = w.Ops
	if zones == illegal && len(r.losses) > 0 && len(entries) > 0 {
		shown := h.at(entries[0]).call
		for _, l := range r.losses {
			if l.at < shown {
				v.lossy, v.after = true, Op(l.entry)
			}
		}
	}
	return v
}

// blame returns the entries behind two clusters that exclude each other: the
// late operation of one, its write, and what shows that the other was current
// in between.
func (r *register) blame(why conflict) []uint32 {
	stale, other := why.a, why.b
	// Of two forward zones the stale value is the one whose write is older.
	if s, _ := r.written(other); r.clusters[other].maxCall > r.clusters[other].minRet {
		if _, end := r.written(stale); end > s {
			if _, e := r.written(other); e < end {
				stale, other = other, stale
			}
		}
	}
	var entries []uint32
	add := func(access int32) {
		if access != none {
			entries = append(entries, r.accesses[access].entry)
		}
	}
	if r.clusters[stale].last == none { // it is a power loss that asks for the value
		for i := range r.accesses {
			if a := &r.accesses[i]; a.kind == Read && a.value == r.clusters[stale].value && a.ret > r.losses[0].at {
				add(int32(i))
				break
			}
		}
	}
	add(r.clusters[stale].last)
	add(r.writeOf(stale))
	add(r.writeOf(other))
	add(r.clusters[other].first)
	return entries
}

// writeOf returns the access that wrote a cluster's value, also if it survived
// power losses since.
func (r *register) writeOf(k int32) int32 {
	for r.clusters[k].write == none && r.clusters[k].older != none {
		k = r.clusters[k].older
	}
	return r.clusters[k].write
}

// blameLoss returns the entries that power loss i should have kept apart.
func (r *register) blameLoss(i int32) []uint32 {
	l := r.losses[i]
	var entries []uint32
	for j := range r.accesses {
		a := &r.accesses[j]
		if a.kind == Read && a.call > l.at {
			if w := r.clusters[a.cluster].write; w == none || r.accesses[w].ret < l.at {
				entries = append([]uint32{a.entry}, entries...)
			}
		}
		if a.kind == WriteFUA && a.ret < l.at {
			entries = append(entries, a.entry)
		}
	}
	return entries[:min(len(entries), 4)]
}

// stuck returns the access that porcupine could not place, and what it
// contradicts in the longest attempt.
func stuck(p part) []uint32 {
	_, info := porcupine.CheckOperationsVerbose(p.model(), p.operations(nil), 0)
	var longest []int
	for _, partials := range info.PartialLinearizations() {
		for _, order := range partials {
			if len(order) > len(longest) || len(order) == len(longest) && slices.Compare(order, longest) < 0 {
				longest = order
			}
		}
	}
	culprit := -1
	for i := range p.accesses {
		if !slices.Contains(longest, i) && (culprit < 0 || p.accesses[i].ret < p.accesses[culprit].ret) {
			culprit = i
		}
	}
	if culprit < 0 {
		return nil
	}
	return p.contradicts(culprit, longest)
}

// contradicts returns the entries of culprit, of the write whose value it read,
// and of what an order ended with: its last write and what came after that.
func (p part) contradicts(culprit int, order []int) []uint32 {
	read := &p.accesses[culprit]
	entries := []uint32{read.entry}
	add := func(a *access) {
		if !slices.Contains(entries, a.entry) {
			entries = append(entries, a.entry)
		}
	}
	for i := range p.accesses {
		if a := &p.accesses[i]; read.kind == Read && a.kind.writes() && a.value == read.value && a.call < read.ret {
			add(a)
			break
		}
	}
	for _, i := range slices.Backward(order) {
		if a := &p.accesses[i]; a.kind != Read {
			add(a)
			if a.kind.writes() {
				break
			}
		}
	}
	return entries
}

// opOf returns the operation that entry i belongs to.
func (h *History) opOf(i uint32) Op {
	e := h.at(i)
	for i > 0 {
		before := h.at(i - 1)
		if before.rest != e.rest+1 || before.call != e.call {
			break
		}
		i, e = i-1, before
	}
	return Op(i)
}

// describe says in words what op did to block b.
func (h *History) describe(op Op, b uint32) string {
	at := uint32(op)
	for i, other := range h.of(op) {
		if other.block == b {
			at = i
		}
	}
	e := h.at(at)
	harm := h.damageOf(at)
	end := "outcome unknown"
	switch {
	case e.outcome == done && e.kind == Read, harm != nil:
		end = "returned at " + clockText(e.ret)
	case e.outcome == done:
		end = "acknowledged at " + clockText(e.ret)
	case e.outcome == failed:
		end = "failed at " + clockText(e.ret)
	case e.ret != 0:
		end = "outcome unknown, fenced at " + clockText(e.ret)
	}
	if place, known := h.place(at); known {
		end += fmt.Sprintf(", place %s", place)
	}
	if e.block != b && e.kind != Flush {
		end += fmt.Sprintf(", on block %d", e.block)
	}
	switch e.kind {
	case Read:
		text := fmt.Sprintf("client %d's read (called at %s, %s)", e.client, clockText(e.call), end)
		switch {
		case harm != nil:
			return fmt.Sprintf("%s returned %v", text, harm)
		case e.outcome == done:
			return fmt.Sprintf("%s returned value %s", text, valueText(e.value))
		}
		return text
	case Write, WriteFUA:
		return fmt.Sprintf("client %d's %s of value %s (called at %s, %s)", e.client, e.kind, valueText(e.value), clockText(e.call), end)
	case Zero, Flush:
		return fmt.Sprintf("client %d's %s (called at %s, %s)", e.client, e.kind, clockText(e.call), end)
	case PowerLoss, Attach:
	}
	return fmt.Sprintf("%s at %s", e.kind, clockText(e.call))
}

// damageOf returns why what entry i read was damaged, nil if it was not.
func (h *History) damageOf(i uint32) error {
	for _, d := range h.damage {
		if d.entry == i {
			return d.err
		}
	}
	return nil
}
