package storetest

import (
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store"
)

// actKind is what was asked of a replica.
type actKind uint8

const (
	actCreate actKind = iota
	actRecord
	actMeta
	actTruncate
	actReset
	actContinue
	actPush
	actOpen
	actDrop
	actDelete
)

var actNames = [...]string{"create", "record", "meta", "truncate", "reset", "continue", "push", "open", "drop", "delete"} // constant table: never written

func (k actKind) String() string { return actNames[k] }

// act is one thing asked of a replica that its journal has to remember. What a
// replica is after a crash must be the outcome of a prefix of its acts.
type act struct {
	kind   actKind
	token  uint64
	record message.Record
	stamp  uint64 // of the blocks that a record or push writes
	meta   store.Meta
	stable block.Seq             // reset, continue: what was stable before
	at     block.Position        // truncate: Seq = to, Era = below; continue: the position
	layer  block.LayerID         // push, open, drop
	parent block.LayerID         // open
	apply  uint16                // push
	chunk  store.ChunkContent    // push
	blocks [block.PerChunk]stamp // push: what each present block holds
}

// stamp identifies the content of a block: 0 is zeroes, any other number fills
// the block with a pattern of it and of the block's place.
type stamp uint64

// replica is what the oracle knows of one.
type replica struct {
	id       block.ReplicaID
	pattern  block.ReplicaID // of what its blocks hold: of a clone that of its origin
	origin   []stamp         // the image that a clone began with
	volume   block.VolumeID
	blocks   uint64
	handle   store.Handle
	base     state // the outcome of acts that were forgotten: all durable and stable
	log      []act
	accepted int       // so many of log are known to survive a kill
	durable  int       // so many of log are known to survive a power loss
	stable   block.Seq // the highest that the store was ever told
	told     block.Seq // the highest that this life of the store knows
	era      block.Epoch
	lost     []act // what the last crash took
	unread   []act // the log as it was before damage cut it, while nothing was added
	damaged  bool  // recovery cut it: it takes no records until it is reset
}

// state is what a replica is after some of its acts.
type state struct {
	exists  bool
	meta    store.Meta
	last    block.Position
	below   block.Position // of the last record that is not in records
	records []int          // indices into the log of the records that count, in seq order
	strata  strata
	content []stamp     // of the head's image
	touched []block.Seq // per chunk, the newest record that changed the head
}

func (r *replica) clone() *replica {
	c := *r
	c.log = slices.Clone(r.log)
	return &c
}

// after returns the state after the first n acts.
func (r *replica) after(n int) state {
	s := state{exists: r.base.exists, meta: r.base.meta, last: r.base.last, below: r.base.below}
	dropped := make([]bool, n)
	from := 0 // content begins anew here
	for i, a := range r.log[:n] {
		switch a.kind {
		case actCreate:
			s = state{exists: true, meta: a.meta}
		case actRecord:
			s.records = append(s.records, i)
			s.last = a.record.Position
		case actMeta:
			s.meta = a.meta
		case actTruncate:
			s.truncate(r.log, a.at, dropped)
		case actReset:
			s = state{exists: true, meta: a.meta}
			from = i + 1
		case actContinue:
			s.records, s.last, s.below, s.meta = nil, a.at, a.at, a.meta
		case actPush, actOpen, actDrop:
		case actDelete:
			s = state{}
		}
	}
	s.strata = r.strataAt(from)
	for i := from; i < n; i++ {
		if !dropped[i] {
			s.strata.apply(&r.log[i], r.blocks)
		}
	}
	s.content, s.touched = s.strata.image(0), s.strata.all[s.strata.head].touched
	return s
}

// strataAt returns the layers with which the acts from from on begin: those of
// the base, or empty ones if it is a reset.
func (r *replica) strataAt(from int) strata {
	switch {
	case from == 0 && r.base.strata.all != nil:
		return r.base.strata.clone()
	case from == 0 && r.origin != nil:
		return newClone(r.blocks, r.origin)
	default:
		return newStrata(r.blocks)
	}
}

// truncate drops the records above to.Seq written in an era below to.Era.
func (s *state) truncate(log []act, to block.Position, dropped []bool) {
	for len(s.records) > 0 {
		i := s.records[len(s.records)-1]
		p := log[i].record.Position
		if p.Seq <= to.Seq || p.Era >= to.Era {
			break
		}
		dropped[i] = true
		s.records = s.records[:len(s.records)-1]
	}
	s.last = s.below
	if n := len(s.records); n > 0 {
		s.last = log[s.records[n-1]].record.Position
	}
}

// stableAt returns the state made by the records up to seq alone, and by what has
// no seq.
func (r *replica) stableAt(seq block.Seq) state {
	for _, i := range r.after(len(r.log)).records {
		if r.log[i].record.Position.Seq > seq {
			return r.after(i)
		}
	}
	return r.after(len(r.log))
}

// push notes an act that was asked for.
func (r *replica) push(a act) { r.log, r.unread = append(r.log, a), nil }

// find returns how many acts there are up to and with the newest record at p.
func (r *replica) find(p block.Position) (int, bool) {
	for i := len(r.log) - 1; i >= 0; i-- {
		if a := &r.log[i]; a.kind == actRecord && a.record.Position == p || a.kind == actContinue && a.at == p {
			return i + 1, true
		}
	}
	return 0, p == r.base.last
}

// findSeq is find for the newest record with seq.
func (r *replica) findSeq(seq block.Seq) (int, bool) {
	for i := len(r.log) - 1; i >= 0; i-- {
		if a := &r.log[i]; a.kind == actRecord && a.record.Position.Seq == seq || a.kind == actContinue && a.at.Seq == seq {
			return i + 1, true
		}
	}
	return 0, seq <= r.base.last.Seq
}

// forget makes what no truncation can reach or has reached the base, to keep
// the log short.
func (r *replica) forget() {
	n := min(r.durable, r.accepted)
	alive := r.after(len(r.log)).records
	from := 0
	for i, a := range r.log[:n] {
		if a.kind == actReset || a.kind == actContinue {
			from = i + 1
		}
	}
	for i := from; i < n; i++ {
		if a := &r.log[i]; a.kind == actRecord && (a.record.Position.Seq > r.stable || !slices.Contains(alive, i)) {
			n = i
			break
		}
	}
	if n < 64 {
		return
	}
	s := r.after(n)
	s.below, s.records = s.last, nil
	r.base, r.unread = s, nil
	r.log = slices.Clone(r.log[n:])
	r.accepted -= n
	r.durable -= n
}

// candidates returns the numbers of acts in [from, len] whose outcome looks
// like info, newest first.
func (r *replica) candidates(info *store.ReplicaInfo, from int) (list []int) {
	for n := len(r.log); n >= from; n-- {
		if s := r.after(n); s.exists && s.last == info.LastAccepted && (s.meta == info.Meta || info.Damaged && r.everMeta(info.Meta)) {
			list = append(list, n)
		}
	}
	return list
}

// everMeta reports whether the replica was ever told to remember meta. What
// recovery found behind a hole counts: a promise is not lost with records.
func (r *replica) everMeta(meta store.Meta) bool {
	for n := range len(r.log) + 1 {
		if r.after(n).meta == meta {
			return true
		}
	}
	return false
}

// tell describes the log for a failure.
func (r *replica) tell(from int) (text string) {
	for n := max(0, from); n <= len(r.log); n++ {
		s := r.after(n)
		name := "base"
		if n > 0 {
			name = r.log[n-1].kind.String()
		}
		text += fmt.Sprintf("\n  %3d %-8s exists %v last %v meta %+v", n, name, s.exists, s.last, s.meta)
		if n == r.durable {
			text += " ◀ durable"
		}
		if n == r.accepted {
			text += " ◀ accepted"
		}
	}
	return text
}
