package storetest

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
)

// toy is the simplest store that keeps the promises of core/store: an endless
// log of acts, replayed at open. Its mutations break one promise each, to show
// that the harness notices.
type toy struct {
	owner    uint32
	mutation mutation
	results  []store.Result
	entries  []toyEntry // all, as appended
	offsets  []int64    // where each ends in the log
	written  int        // entries whose write completed
	durable  int        // entries covered by a sync
	cover    int        // entries the sync in flight covers
	writing  bool
	syncing  bool
	wantSync int
	end      int64
	size     int64
	opening  bool
	closing  bool
	buffers  []block.Buffer
	state    map[store.Handle]*toyReplica
	next     store.Handle
}

type mutation int

const (
	faithful mutation = iota
	acceptsBeforeTheWriteCompleted
	durableWithoutSync
	syncCoversWritesInFlight
	tailIsNotVerified
	truncateIsNotJournalled
	metaDoneBeforeSync
	readsOldContent
	deletedComesBack
	skipsARecordAtRecovery
	takesStaleEntriesForNew
	mutationCount
)

type toyEntry struct {
	Generation uint32 // never falls along the log: what an earlier life left behind it is recognised
	Act        actKind
	Handle     store.Handle
	Token      uint64
	Replica    store.ReplicaInfo
	Meta       store.Meta
	Rec        message.Record
	Era        block.Epoch
	To         block.Position
	Apply      uint16
	Chunk      store.ChunkContent
	Data       []byte
}

type toyReplica struct {
	info    store.ReplicaInfo
	content []([]byte)
	records []toyEntry
	before  []toyEntry // everything since the last reset, for truncation
}

const toyBlock = 64

func newToy(m mutation) func(store.Params) Store {
	return func(p store.Params) Store {
		return &toy{owner: p.Owner, mutation: m, state: map[store.Handle]*toyReplica{}}
	}
}

func (s *toy) Results() []store.Result {
	r := s.results
	s.results = nil
	return r
}

func (s *toy) Space() (capacity, free int64) { return s.size, s.size - s.end }

func (s *toy) Replicas(list []store.ReplicaInfo) []store.ReplicaInfo {
	for h := store.Handle(0); h <= s.next; h++ {
		if r := s.state[h]; r != nil {
			list = append(list, r.info)
		}
	}
	return list
}

func (s *toy) Format(step.Time, store.Geometry, *step.Effects) {
	s.results = append(s.results, store.Result{Kind: store.Formatted})
}

func (s *toy) Open(_ step.Time, capacity int64, out *step.Effects) {
	s.size, s.opening = capacity, true
	s.buffers = []block.Buffer{block.Heap{}.Get(int(capacity))}
	out.Disk = append(out.Disk, step.DiskOp{Kind: step.DiskRead, Tag: step.Tag{Owner: s.owner}, Pieces: s.buffers})
}

func (s *toy) recover(out *step.Effects) {
	log := s.buffers[0].Bytes()
	generation := uint32(0)
	for at := 0; ; {
		n := int(binary.LittleEndian.Uint32(log[at:]))
		if n == 0 || binary.LittleEndian.Uint32(log[at+4:]) != uint32(len(s.entries)+1) {
			break
		}
		body := log[at+12 : at+12+n]
		sum := uint32(block.ChecksumOf(body))
		if s.mutation != tailIsNotVerified && sum != binary.LittleEndian.Uint32(log[at+8:]) {
			break
		}
		var e toyEntry
		if gob.NewDecoder(bytes.NewReader(body)).Decode(&e) != nil {
			break
		}
		if e.Generation < generation && s.mutation != takesStaleEntriesForNew {
			break
		}
		generation = e.Generation
		at += roundUp(12 + n)
		s.entries = append(s.entries, e)
		s.offsets = append(s.offsets, int64(at))
		s.end = int64(at)
		if s.mutation == skipsARecordAtRecovery && e.Act == actRecord && len(s.entries)%7 == 0 {
			continue
		}
		s.apply(e)
	}
	s.written, s.wantSync = len(s.entries), len(s.entries)
	// What was found may be in the cache only, and a sync may have swallowed its error: write it again.
	if s.end > 0 {
		s.writing = true
		s.buffers = []block.Buffer{s.buffers[0].Slice(0, int(s.end))}
		out.Disk = append(out.Disk, step.DiskOp{Kind: step.DiskWrite, Tag: step.Tag{Owner: s.owner, Slot: uint32(s.written)}, Pieces: s.buffers})
		return
	}
	s.opened()
}

func (s *toy) opened() {
	s.opening = false
	for _, r := range s.state { // any order: each by itself
		r.info.Durable = r.info.LastAccepted.Seq
	}
	s.results = append(s.results, store.Result{Kind: store.Opened})
}

func roundUp(n int) int { return (n + 4095) &^ 4095 }

func (s *toy) Close(_ step.Time, out *step.Effects) {
	s.closing, s.wantSync = true, len(s.entries)
	s.pump(out)
}

func (s *toy) Step(_ step.Time, ev *step.Event, out *step.Effects) {
	switch {
	case s.opening && ev.Tag.Generation == 0 && s.end == 0 && ev.Tag.Slot == 0 && s.cover == 0:
		s.recover(out)
		return
	case ev.Tag.Generation == 1:
		s.syncing = false
		s.onDurable(s.cover)
		if s.opening {
			s.opened()
		}
	default:
		s.writing = false
		s.onWritten(int(ev.Tag.Slot))
	}
	s.pump(out)
}

// pump keeps one write and one sync in flight.
func (s *toy) pump(out *step.Effects) {
	if !s.writing && s.written < len(s.entries) {
		s.writing = true
		s.buffers = s.buffers[:0:0]
		from := int64(0)
		if s.written > 0 {
			from = s.offsets[s.written-1]
		}
		for i := s.written; i < len(s.entries); i++ {
			var body bytes.Buffer
			if err := gob.NewEncoder(&body).Encode(&s.entries[i]); err != nil {
				panic(err)
			}
			b := block.Heap{}.Get(roundUp(12 + body.Len()))
			binary.LittleEndian.PutUint32(b.Bytes(), uint32(body.Len()))
			binary.LittleEndian.PutUint32(b.Bytes()[4:], uint32(i+1))
			binary.LittleEndian.PutUint32(b.Bytes()[8:], uint32(block.ChecksumOf(body.Bytes())))
			copy(b.Bytes()[12:], body.Bytes())
			s.buffers = append(s.buffers, b)
			s.end += int64(b.Len())
			s.offsets = append(s.offsets, s.end)
		}
		out.Disk = append(out.Disk, step.DiskOp{Kind: step.DiskWrite, Tag: step.Tag{Owner: s.owner, Slot: uint32(len(s.entries))}, Offset: from, Pieces: s.buffers})
	}
	ready := s.written
	if s.mutation == syncCoversWritesInFlight {
		ready = len(s.entries)
	}
	if !s.syncing && s.durable < min(s.wantSync, ready) {
		s.syncing, s.cover = true, ready
		out.Disk = append(out.Disk, step.DiskOp{Kind: step.DiskSync, Tag: step.Tag{Owner: s.owner, Generation: 1}})
	}
	if s.closing && s.durable == len(s.entries) {
		s.results = append(s.results, store.Result{Kind: store.Closed})
		s.closing = false
	}
}

func (s *toy) onWritten(n int) {
	for i := s.written; i < n; i++ {
		s.accept(&s.entries[i])
	}
	s.written = max(s.written, n)
	if s.mutation == durableWithoutSync && !s.opening {
		s.onDurable(s.written)
	}
}

func (s *toy) accept(e *toyEntry) {
	switch {
	case e.Act == actRecord:
		s.results = append(s.results, store.Result{Kind: store.Accepted, Handle: e.Handle, Position: e.Rec.Position})
	case e.Act == actPush:
		s.results = append(s.results, store.Result{Kind: store.PushDone, Handle: e.Handle, Token: e.Token})
	case s.mutation == metaDoneBeforeSync && e.Act == actMeta:
		s.results = append(s.results, store.Result{Kind: store.RecordDone, Handle: e.Handle, Token: e.Token})
	}
}

func (s *toy) onDurable(n int) {
	for i := s.durable; i < n; i++ {
		e := &s.entries[i]
		switch {
		case s.opening: // nobody waits
		case i >= s.written: // a mutation: it is not even accepted
		case e.Act == actRecord:
			if r := s.state[e.Handle]; r != nil {
				s.results = append(s.results, store.Result{Kind: store.Durable, Handle: e.Handle, Position: e.Rec.Position})
			}
		case s.mutation == metaDoneBeforeSync && e.Act == actMeta, e.Act == actPush, e.Token == 0:
		default:
			s.results = append(s.results, store.Result{Kind: store.RecordDone, Handle: e.Handle, Token: e.Token})
		}
	}
	s.durable = max(s.durable, n)
}

func (s *toy) add(e toyEntry, out *step.Effects) {
	e.Generation = s.owner
	s.entries = append(s.entries, e)
	s.apply(e)
	if e.Act != actRecord && e.Act != actPush {
		s.wantSync = len(s.entries)
	}
	if s.mutation == acceptsBeforeTheWriteCompleted && e.Act == actRecord {
		s.accept(&e)
	}
	s.pump(out)
}

func (s *toy) apply(e toyEntry) {
	r := s.state[e.Handle]
	if e.Act == actCreate {
		r = &toyReplica{info: e.Replica}
		s.state[e.Handle] = r
		s.next = max(s.next, e.Handle)
		r.clear()
		return
	}
	if r == nil {
		return
	}
	switch e.Act {
	case actRecord, actPush:
		r.before = append(r.before, e)
		r.do(e)
	case actMeta:
		r.info.Meta = e.Meta
	case actReset, actContinue:
		r.info.Meta, r.info.LastAccepted = e.Meta, e.To
		if e.Act == actReset {
			r.clear()
		}
	case actTruncate:
		r.info.LastAccepted = block.Position{}
		kept := slices.DeleteFunc(slices.Clone(r.before), func(o toyEntry) bool {
			return o.Act == actRecord && o.Rec.Position.Seq > e.To.Seq && o.Rec.Position.Era < e.Era
		})
		r.clear()
		for _, o := range kept {
			r.before = append(r.before, o)
			r.do(o)
		}
	case actDelete:
		if s.mutation != deletedComesBack || !s.opening {
			delete(s.state, e.Handle)
		}
	default:
	}
}

func (r *toyReplica) clear() {
	r.content = make([][]byte, r.info.Blocks)
	r.before, r.records = nil, nil
}

func (r *toyReplica) do(e toyEntry) {
	if e.Act == actPush {
		for i := range block.PerChunk {
			if b := e.Chunk.Chunk.First() + block.Block(i); e.Apply&(1<<i) != 0 {
				r.content[b] = nil
				if e.Chunk.Present&(1<<i) != 0 {
					r.content[b] = e.Data[i*toyBlock : (i+1)*toyBlock]
				}
			}
		}
		return
	}
	r.info.LastAccepted = e.Rec.Position
	r.records = append(r.records, e)
	for b := e.Rec.Range.First; b < e.Rec.Range.End(); b++ {
		r.content[b] = nil
		if i := int(b - e.Rec.Range.First); e.Rec.Op == message.OpWrite {
			r.content[b] = e.Data[i*toyBlock : (i+1)*toyBlock]
		}
	}
}

func (s *toy) Create(_ step.Time, id block.ReplicaID, vol block.VolumeID, blocks uint64, _ store.Image, meta store.Meta, token uint64, out *step.Effects) (store.Handle, message.Status) {
	s.next++
	info := store.ReplicaInfo{Handle: s.next, Replica: id, Volume: vol, Blocks: blocks, Meta: meta}
	s.add(toyEntry{Act: actCreate, Handle: s.next, Token: token, Replica: info}, out)
	return s.next, message.OK
}

func (s *toy) Delete(_ step.Time, h store.Handle, token uint64, out *step.Effects) {
	s.add(toyEntry{Act: actDelete, Handle: h, Token: token}, out)
}

func (s *toy) SetMeta(_ step.Time, h store.Handle, meta store.Meta, token uint64, out *step.Effects) {
	s.add(toyEntry{Act: actMeta, Handle: h, Meta: meta, Token: token}, out)
}

func (s *toy) Rewind(now step.Time, h store.Handle, meta store.Meta, token uint64, out *step.Effects) block.Seq {
	var last, below block.Position
	for i := range s.entries {
		switch e := &s.entries[i]; {
		case e.Handle != h:
		case e.Act == actRecord:
			last = e.Rec.Position
		case e.Act == actTruncate && last.Seq > e.To.Seq && last.Era < e.Era:
			last.Seq = e.To.Seq
		case e.Act == actReset:
			last, below = block.Position{}, block.Position{}
		case e.Act == actContinue:
			last, below = e.To, e.To
		}
	}
	left := max(below.Seq, min(s.state[h].info.Stable, last.Seq))
	if left < last.Seq {
		s.add(toyEntry{Act: actTruncate, Handle: h, Era: last.Era + 1, To: block.Position{Seq: left}}, out)
	}
	s.SetMeta(now, h, meta, token, out)
	return left
}

func (s *toy) Reset(_ step.Time, h store.Handle, _ uint64, meta store.Meta, token uint64, out *step.Effects) {
	s.add(toyEntry{Act: actReset, Handle: h, Meta: meta, Token: token}, out)
}

func (s *toy) Continue(_ step.Time, h store.Handle, at block.Position, meta store.Meta, token uint64, out *step.Effects) {
	s.add(toyEntry{Act: actContinue, Handle: h, To: at, Meta: meta, Token: token}, out)
}

func (s *toy) Append(_ step.Time, h store.Handle, rec message.Record, data block.Buffer, out *step.Effects) message.Status {
	if s.size-s.end < 1<<16 {
		return message.NoSpace
	}
	s.add(toyEntry{Act: actRecord, Handle: h, Rec: rec, Data: bytes.Clone(data.Bytes())}, out)
	data.Release()
	return message.OK
}

func (s *toy) Push(_ step.Time, h store.Handle, _ block.LayerID, apply uint16, c store.ChunkContent, data block.Buffer, token uint64, out *step.Effects) message.Status {
	s.add(toyEntry{Act: actPush, Handle: h, Apply: apply, Chunk: c, Data: bytes.Clone(data.Bytes()), Token: token}, out)
	data.Release()
	return message.OK
}

func (s *toy) Sync(_ step.Time, _ store.Handle, out *step.Effects) {
	s.wantSync = len(s.entries)
	s.pump(out)
}

func (s *toy) SetStable(_ step.Time, h store.Handle, seq block.Seq, _ *step.Effects) {
	s.state[h].info.Stable = seq
}

func (s *toy) Truncate(_ step.Time, h store.Handle, era block.Epoch, to block.Seq, token uint64, out *step.Effects) message.Status {
	e := toyEntry{Act: actTruncate, Handle: h, Era: era, To: block.Position{Seq: to}, Token: token}
	if s.mutation == truncateIsNotJournalled {
		s.apply(e)
		s.results = append(s.results, store.Result{Kind: store.RecordDone, Handle: h, Token: token})
		return message.OK
	}
	s.add(e, out)
	return message.OK
}

func (s *toy) Read(_ step.Time, h store.Handle, _ block.LayerID, r block.Range, token uint64, _ *step.Effects) {
	res := store.Result{Kind: store.ReadDone, Handle: h, Token: token, Payload: block.Heap{}.Get(int(r.Count) * toyBlock)}
	data := res.Payload.Bytes()
	for b := r.First; b < r.End(); b++ {
		copy(data[int(b-r.First)*toyBlock:], s.state[h].content[b])
	}
	if n := len(s.state[h].records); s.mutation == readsOldContent && n > 2 {
		for _, e := range s.state[h].records[:n-1] {
			if e.Rec.Op == message.OpWrite && r.Contains(e.Rec.Range.First) {
				copy(data[int(e.Rec.Range.First-r.First)*toyBlock:], e.Data[:toyBlock])
			}
		}
	}
	res.Checksums = block.ChecksumsOf(data, toyBlock)
	s.results = append(s.results, res)
}

func (s *toy) ListChanged(_ step.Time, h store.Handle, _ block.LayerID, since block.Seq, _, token uint64, _ *step.Effects) {
	r, res := s.state[h], store.Result{Kind: store.ChangesDone, Handle: h, Token: token}
	res.Position.Seq = r.info.Stable
	for c := range block.Chunk((r.info.Blocks + block.PerChunk - 1) / block.PerChunk) {
		if content, _ := r.stable(c); content.LastSeq > since {
			res.Changes = append(res.Changes, message.Change{Chunk: c, LastSeq: content.LastSeq})
		}
	}
	s.results = append(s.results, res)
}

func (s *toy) Pull(_ step.Time, h store.Handle, _ block.LayerID, c block.Chunk, token uint64, _ *step.Effects) {
	content, data := s.state[h].stable(c)
	s.results = append(s.results, store.Result{Kind: store.PullDone, Handle: h, Token: token, Content: content, Payload: data})
}

// stable returns what the stable records made of a chunk.
func (r *toyReplica) stable(c block.Chunk) (content store.ChunkContent, data block.Buffer) {
	data = block.Heap{}.Get(block.PerChunk * toyBlock)
	content.Chunk = c
	for _, e := range r.records {
		for b := e.Rec.Range.First; b < e.Rec.Range.End() && e.Rec.Position.Seq <= r.info.Stable; b++ {
			if b.Chunk() != c {
				continue
			}
			content.LastSeq = e.Rec.Position.Seq
			content.Present &^= 1 << b.Offset()
			content.Zero |= 1 << b.Offset()
			if i := int(b - e.Rec.Range.First); e.Rec.Op == message.OpWrite {
				content.Present |= 1 << b.Offset()
				content.Zero &^= 1 << b.Offset()
				copy(data.Bytes()[b.Offset()*toyBlock:], e.Data[i*toyBlock:(i+1)*toyBlock])
				content.Checksums[b.Offset()] = e.Rec.Checksums[i]
			}
		}
	}
	return content, data
}

func (s *toy) FetchTail(_ step.Time, h store.Handle, first, last block.Seq, token uint64, _ *step.Effects) {
	for _, e := range s.state[h].records {
		if q := e.Rec.Position.Seq; q >= first && q <= last {
			res := store.Result{Kind: store.TailRecord, Handle: h, Token: token, Record: e.Rec, Payload: block.Heap{}.Get(len(e.Data))}
			copy(res.Payload.Bytes(), e.Data)
			s.results = append(s.results, res)
		}
	}
	s.results = append(s.results, store.Result{Kind: store.TailDone, Handle: h, Token: token})
}

func (s *toy) Layers(_ store.Handle, list []store.LayerInfo) []store.LayerInfo { return list }

func (s *toy) OpenLayer(step.Time, store.Handle, block.LayerID, block.LayerID, block.Position, uint64, *step.Effects) message.Status {
	return message.WrongState
}

func (s *toy) DropLayer(step.Time, store.Handle, block.LayerID, uint64, *step.Effects) message.Status {
	return message.WrongState
}
