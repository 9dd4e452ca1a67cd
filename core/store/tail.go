package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// tailPlan is how far a FetchTail is.
type tailPlan struct {
	next, last block.Seq
	record     message.Record
}

// FetchTail reads the records of h from first to last. Results: TailRecord for
// each, then TailDone: OK, or Gone if one is not in the journal any more.
func (s *Store) FetchTail(now step.Time, h Handle, first, last block.Seq, token uint64, out *step.Effects) {
	s.now = max(s.now, now)
	r := s.replica(h)
	if r == nil {
		s.result(Result{Kind: TailDone, Status: s.refusal(), Handle: h, Token: token})
		return
	}
	i := s.newJob(jobTail, r, token)
	s.jobs.table[i].tail = tailPlan{next: first, last: last}
	s.runTail(i, out)
}

// runTail reports records until one needs to be read, or the last is reached.
func (s *Store) runTail(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	for j.tail.next <= j.tail.last {
		r := s.byHandle[j.handle]
		if r == nil {
			s.endTail(i, message.NoReplica)
			return
		}
		rec := r.record(j.tail.next)
		if rec == nil {
			s.endTail(i, message.Gone)
			return
		}
		m := message.Record{Position: rec.Position, FUA: rec.FUA, Range: rec.Range}
		switch rec.Kind {
		case format.Write, format.Map:
			m.Op = message.OpWrite
			if !s.locateRecord(j, rec, &m) {
				s.endTail(i, message.Gone)
				return
			}
			j.tail.record = m
			j.buffer = s.params.Pool.Get(int(rec.Range.Count) * s.blockSize)
			if s.readSources(i, out) {
				return
			}
			s.finishTail(i, out)
			return
		case format.ZeroRange:
			m.Op = message.OpZero
		case format.Snap, format.DelSnap:
			shape := r.shapeOf(rec.Position.Seq)
			m.Op, m.Layer, m.Parent = message.OpSnap, shape.id, shape.parent
			if rec.Kind == format.DelSnap {
				m.Op = message.OpDelSnap
			}
		case format.Resize:
			m.Op, m.Blocks = message.OpResize, r.shapeOf(rec.Position.Seq).blocks
		default:
			m.Op, m.Range = message.OpNop, block.Range{}
		}
		s.result(Result{Kind: TailRecord, Handle: Handle(j.handle), Token: j.token, Record: m})
		j.tail.next++
	}
	s.endTail(i, message.OK)
}

// locateRecord finds the data of one record. False: it went home.
func (s *Store) locateRecord(j *job, rec *record, m *message.Record) bool {
	j.chunk, j.first, j.count = rec.Range.First.Chunk(), rec.Range.First.Offset(), int(rec.Range.Count)
	v := s.versionOf(index.Key{Layer: rec.Layer, Chunk: j.chunk}, rec.Position)
	if v == nil {
		return false
	}
	for b := range j.sources {
		j.sources[b] = source{kind: sourceSkip}
	}
	s.fromVersion(j, v, v.Mask)
	for b := range j.count {
		m.Checksums[b] = s.index.Sum(v, j.first+b)
	}
	return true
}

// versionOf returns the version that a record made in a chunk, or nil.
func (s *Store) versionOf(key index.Key, at block.Position) *index.Version {
	c := s.index.Find(key)
	if c == index.None {
		return nil
	}
	for v := s.index.Chunk(c).Newest; v != index.None; v = s.index.Older(v) {
		if version := s.index.Version(v); version.Position == at {
			return version
		}
	}
	return nil
}

// finishTail verifies one record's data and reports it.
func (s *Store) finishTail(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	if s.inspect(j); j.bad != 0 && s.readAgain(i, out) {
		return
	}
	lost := j.bad != 0
	for b := j.first; b < j.first+j.count; b++ {
		lost = lost || j.sources[b].kind == sourceBad
	}
	if lost {
		j.buffer.Release()
		s.endTail(i, message.Corrupt)
		return
	}
	s.result(Result{Kind: TailRecord, Handle: Handle(j.handle), Token: j.token, Record: j.tail.record, Payload: j.buffer})
	j.buffer = block.Buffer{}
	j.tail.next++
	s.runTail(i, out)
}

func (s *Store) endTail(i int32, status message.Status) {
	j := s.jobs.table[i]
	s.result(Result{Kind: TailDone, Status: status, Handle: Handle(j.handle), Token: j.token})
	s.endJob(i)
}

// Push replaces the blocks in apply of a chunk of one layer of h, 0 being its
// head, by content that is stable at its source; blocks neither present nor zero
// are cleared, those whose data is lost there are lost here too. The payload's reference is taken over if the answer is OK.
// Result: PushDone. BehindSeq: that layer is not opened and stable here yet, not as large, or
// not done with taking over one that was deleted.
func (s *Store) Push(now step.Time, h Handle, id block.LayerID, apply uint16, content ChunkContent, payload block.Buffer, token uint64, out *step.Effects) message.Status {
	s.now = max(s.now, now)
	r := s.replica(h)
	if r == nil {
		return s.refusal()
	}
	l := r.find(id)
	if l == nil || l.under != nil || r.snaps+r.resets > 0 || max(l.opened, l.sealed) > r.stable {
		return message.BehindSeq
	}
	if !reaches(r.steady(), content.Chunk) && reaches(r.ahead(), content.Chunk) {
		return message.BehindSeq
	}
	s.company.note(r.handle, s.now)
	holds := apply & content.Present &^ content.Zero
	if !r.has(content.Chunk) || holds != 0 && payload.Len() != block.PerChunk*s.blockSize {
		return message.WrongState
	}
	rec := format.Record{
		Kind: format.Resync, Layer: id, Range: block.Range{First: content.Chunk.First(), Count: block.PerChunk},
		Apply: apply, Present: content.Present, Zero: content.Zero, LastSeq: content.LastSeq,
	}
	n := 0
	for b := range block.PerChunk {
		if holds&(1<<b) == 0 {
			continue
		}
		sum := block.ChecksumOf(payload.Bytes()[b*s.blockSize : (b+1)*s.blockSize])
		if sum != content.Checksums[b] {
			return message.Corrupt
		}
		rec.Sums[n] = sum
		n++
	}
	if holds == 0 {
		payload.Release()
		s.enqueue(r, rec, block.Buffer{}, token)
		r.shrinking++
	} else if st := s.appendWrite(r, l, rec, payload, token, out); st != message.OK {
		return st
	} else {
		r.shrinking++
	}
	l.pushes++
	s.timer.touched = s.now
	s.pump(out)
	return message.OK
}
