package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// An operation that waits for space which a checkpoint frees may wait in vain:
// records above stable are parked and take as much as was freed. What is behind
// it in its replica's line waits as well, a promise to the next coordinator
// among it, without which stable may never rise. So a wait ends with the first
// checkpoint that began after it.

// waitedInVain reports whether a checkpoint that began after o was queued has
// ended, or none would find anything to do.
func (s *Store) waitedInVain(o *op) bool {
	return s.ckpt.done >= o.until || s.ckpt.phase == ckptIdle && !s.unfinished()
}

// refuseLate takes the first operation of r's line back, and what the stream has
// behind it. It reports false as long as one of them writes to its slot. What is
// before it may be in b, the batch that gathers.
func (s *Store) refuseLate(r *replica, b *batch) bool {
	first := &s.queue.ops[r.ops.head]
	push := first.record.Kind == format.Resync
	for i := r.ops.head; i != index.None; i = s.queue.ops[i].next {
		if !s.queue.ops[i].ready {
			return false
		}
	}
	at, token := first.record.Position, first.token
	kept, anew := opList{head: index.None, tail: index.None}, false
	for i := r.ops.head; i != index.None; {
		o := &s.queue.ops[i]
		next := o.next
		anew = anew || o.record.Kind == format.Reset || o.record.Kind == format.Continue ||
			o.record.Kind == format.Truncate && o.record.Position.Seq < at.Seq // it goes all the same
		if i == r.ops.head || !push && !anew && o.record.InStream() {
			s.takeBack(r, i)
		} else {
			if o.next = index.None; kept.head == index.None {
				kept.head = i
			} else {
				s.queue.ops[kept.tail].next = i
			}
			kept.tail = i
		}
		i = next
	}
	r.ops = kept
	if push {
		s.result(Result{Kind: PushDone, Handle: Handle(r.handle), Token: token, Status: message.NoSpace})
		return true
	}
	if anew || r.gone {
		return true // nobody counts on it any more
	}
	r.appended = s.positionAt(r, at.Seq-1)
	for _, i := range b.ops {
		if rec := &s.queue.ops[i].record; rec.Handle == r.handle && rec.InStream() {
			r.appended = rec.Position
		}
	}
	r.want = min(r.want, r.appended.Seq)
	s.result(Result{Kind: Refused, Handle: Handle(r.handle), Status: message.NoSpace, Position: at})
	return true
}

// takeBack forgets an operation that never was in a batch.
func (s *Store) takeBack(r *replica, i int32) {
	o := &s.queue.ops[i]
	s.queue.count(o, s.blockSize, -1)
	if o.soft {
		s.queue.soften(o, false)
	}
	if o.record.Slot != 0 {
		s.slots.Drop(o.record.Slot)
	}
	if shrinks(o.record.Kind) {
		r.shrinking--
	}
	switch o.record.Kind {
	case format.Snap:
		s.deepen(r, -1)
	case format.Resize:
		r.growing--
	case format.Resync:
		r.find(o.record.Layer).pushes--
	default:
	}
	o.payload.Release()
	o.payload = block.Buffer{}
	s.freeOp(i)
}
