package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// jobKind says what a job is for.
type jobKind uint8

const (
	jobRead jobKind = iota
	jobPull
	jobTail // one record of FetchTail, or all of them in turn
	jobHome // a chunk's stable versions go home
	jobPark // unstable data moves to a parked slot
	jobList
	jobReclaim
	jobMeasure
	jobFold // chunks move from one tree of a layer to the other
	jobScrub
	jobRepair // a block of a snapshot gets its data back
)

// sourceKind says where a block's content comes from.
type sourceKind uint8

const (
	sourceNone sourceKind = iota // never written: zeroes
	sourceZero
	sourceDisk
	sourceBad
	sourceSkip // not asked for
)

// source is where one block of a job's chunk comes from.
type source struct {
	kind sourceKind
	at   int64
	sum  block.Checksum
}

// triesMax bounds how often a read whose data moved under it looks again.
const triesMax = 8

// job is one piece of work that needs leaves or data from the disk.
type job struct {
	kind    jobKind
	busy    bool
	parity  uint8  // which count of readers it is in
	failed  uint16 // blocks whose last read returned an error
	bad     uint16 // of those that were read: they are not what was written
	again   bool   // the bad ones were read a second time
	tries   int
	waiting int
	handle  uint32
	token   uint64
	layer   *layer // that it is about, or looks at; nil: it has not begun to look
	top     *layer // that a read begins with
	want    uint16 // a read: the blocks that no layer above that one has
	moved   bool   // a read: a merge moved its chunk, it looks again from the top
	maps    bool   // a read: only where there is data is asked for
	chunk   block.Chunk
	first   int // of its blocks in the chunk
	count   int
	buffer  block.Buffer
	leaf    int32 // pinned, or -1
	sources [block.PerChunk]source
	lastSeq block.Seq

	home    homePlan
	fold    foldPlan
	tail    tailPlan
	list    listPlan
	measure measurePlan
	park    parkPlan
	scrub   scrubPlan
	repair  repairPlan
}

// jobs is the table of jobs. Readers are counted by the parity of the moment
// they started in, so that space is released only when no reader is left that
// may have found its data there (rule 17).
type jobs struct {
	table   []*job
	free    []int32
	parity  uint8
	readers [2]int
}

func (s *Store) newJob(kind jobKind, r *replica, token uint64) int32 {
	js := &s.jobs
	var i int32
	if n := len(js.free); n > 0 {
		i = js.free[n-1]
		js.free = js.free[:n-1]
	} else {
		js.table = append(js.table, &job{})
		i = int32(len(js.table) - 1)
	}
	j := js.table[i]
	*j = job{kind: kind, busy: true, parity: js.parity, token: token, leaf: -1, list: j.list, park: j.park, scrub: j.scrub}
	if r != nil {
		j.handle = r.handle
	}
	js.readers[j.parity]++
	return i
}

// endJob frees a job; its buffer must have been handed on or released.
func (s *Store) endJob(i int32) {
	j := s.jobs.table[i]
	if j.leaf >= 0 {
		s.leaves.leaves[j.leaf].pins--
	}
	s.jobs.readers[j.parity]--
	j.buffer = block.Buffer{}
	j.busy = false
	s.jobs.free = append(s.jobs.free, i)
}

// resume goes on with a job whose leaf was loaded.
func (s *Store) resume(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	switch j.kind {
	case jobRead, jobPull:
		s.runRead(i, out)
	case jobHome:
		s.planHome(i, out)
	case jobList:
		s.runList(i, out)
	case jobReclaim:
		s.runReclaim(i, out)
	case jobMeasure:
		s.runMeasure(i, out)
	case jobFold:
		s.runFold(i, out)
	case jobScrub:
		s.runScrub(i, out)
	case jobRepair:
		s.runRepair(i, out)
	case jobTail, jobPark: // need no leaf
	}
}

// onJobRead counts a job's reads and goes on when the last one is done.
func (s *Store) onJobRead(i int32, mask uint16, err step.DiskError, out *step.Effects) {
	j := s.jobs.table[i]
	if err != step.DiskOK {
		j.failed |= mask
	}
	if j.waiting--; j.waiting > 0 {
		return
	}
	switch j.kind {
	case jobRead, jobPull:
		s.finishRead(i, out)
	case jobTail:
		s.finishTail(i, out)
	case jobHome:
		s.writeHome(i, out)
	case jobPark:
		s.writeParked(i, out)
	case jobFold:
		s.writeFolded(i, out)
	case jobScrub:
		s.onScrubRead(i, out)
	case jobRepair:
		s.judgeLost(i, out)
	case jobList, jobReclaim, jobMeasure:
	}
}

// readSources emits the reads of a job's disk sources into its buffer, one for
// each run that is contiguous on the disk and in memory; what is in memory still
// it copies. The buffer starts with block j.first. It reports whether there was
// anything to read.
func (s *Store) readSources(i int32, out *step.Effects) bool {
	j := s.jobs.table[i]
	j.failed, j.bad, j.again = 0, 0, false
	bs := s.blockSize
	for b := 0; b < block.PerChunk; {
		if j.sources[b].kind != sourceDisk || s.recent.copyTo(s.blockOf(j, b), j.sources[b].at) {
			b++
			continue
		}
		end := b + 1
		for end < block.PerChunk && j.sources[end].kind == sourceDisk && !s.recent.has(j.sources[end].at) &&
			j.sources[end].at == j.sources[b].at+int64((end-b)*bs) {
			end++
		}
		s.readBlocks(i, b, end, out)
		b = end
	}
	return j.waiting > 0
}

// readBlocks emits the read of the blocks from first to end, which lie together.
func (s *Store) readBlocks(i int32, first, end int, out *step.Effects) {
	j, bs := s.jobs.table[i], s.blockSize
	io := s.begin(ioJob, i)
	s.ios[io].mask = uint16(1<<end - 1<<first)
	s.piece(io, j.buffer.Slice((first-j.first)*bs, (end-j.first)*bs).Retain())
	s.emit(io, step.DiskRead, j.sources[first].at, out)
	j.waiting++
}

// blockOf returns the memory of block b of the chunk in the job's buffer.
func (s *Store) blockOf(j *job, b int) []byte {
	return j.buffer.Bytes()[(b-j.first)*s.blockSize : (b-j.first+1)*s.blockSize]
}

// Read reads the newest accepted content of r, which lies in one chunk, as of
// the snapshot id, or of the head if that is 0. Result: ReadDone with one buffer
// of r.Count blocks; every block was verified.
func (s *Store) Read(now step.Time, h Handle, id block.LayerID, rng block.Range, token uint64, out *step.Effects) {
	s.read(now, h, id, rng, false, token, out)
}

// Map says which blocks of r, as Read takes it, may have data; the others read as
// zeroes. No data is read. Result: ReadDone with Content.Present.
func (s *Store) Map(now step.Time, h Handle, id block.LayerID, rng block.Range, token uint64, out *step.Effects) {
	s.read(now, h, id, rng, true, token, out)
}

func (s *Store) read(now step.Time, h Handle, id block.LayerID, rng block.Range, maps bool, token uint64, out *step.Effects) {
	s.now = max(s.now, now)
	r := s.replica(h)
	if r == nil || uint64(rng.First) >= r.blocks || !rng.InOneChunk() || uint64(rng.End()) > r.blocks || id != 0 && r.snapshot(id) == nil {
		s.refuse(ReadDone, r, h, token)
		return
	}
	s.company.note(r.handle, s.now)
	i := s.newJob(jobRead, r, token)
	j := s.jobs.table[i]
	j.chunk, j.first, j.count = rng.First.Chunk(), rng.First.Offset(), int(rng.Count)
	j.top, j.maps = r.find(id), maps
	if !maps {
		j.buffer = s.params.Pool.Get(j.count * s.blockSize)
	}
	s.runRead(i, out)
}

// Pull reads the newest stable content of a chunk of one layer of h, 0 being
// its head. Result: PullDone.
func (s *Store) Pull(now step.Time, h Handle, id block.LayerID, c block.Chunk, token uint64, out *step.Effects) {
	s.now = max(s.now, now)
	r := s.replica(h)
	if r == nil || !r.has(c) || r.find(id) == nil {
		s.refuse(PullDone, r, h, token)
		return
	}
	s.company.note(r.handle, s.now)
	i := s.newJob(jobPull, r, token)
	j := s.jobs.table[i]
	j.chunk, j.count = c, block.PerChunk
	j.top = r.find(id)
	j.buffer = s.params.Pool.Get(block.PerChunk * s.blockSize)
	s.runRead(i, out)
}

// refuse answers a call that cannot be taken.
func (s *Store) refuse(kind ResultKind, r *replica, h Handle, token uint64) {
	status := s.refusal()
	if r != nil {
		status = message.WrongState
	}
	s.result(Result{Kind: kind, Status: status, Handle: h, Token: token})
}

// runRead finds where a job's blocks are and reads them.
func (s *Store) runRead(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	if s.byHandle[j.handle] == nil {
		s.answerRead(i, message.NoReplica)
		return
	}
	if s.byNumber[j.top.number] == nil {
		s.answerRead(i, message.WrongState) // it was deleted, or the replica reset
		return
	}
	if !s.locate(i, out) {
		return // resumed when the leaf is there
	}
	if j.maps {
		s.answerMap(i)
		return
	}
	if !s.readSources(i, out) {
		s.finishRead(i, out)
	}
}

// answerMap reports which of a job's blocks may have data, and ends it. What is lost
// counts: it is no zeroes.
func (s *Store) answerMap(i int32) {
	j := s.jobs.table[i]
	res := Result{Kind: ReadDone, Handle: Handle(j.handle), Token: j.token, Content: ChunkContent{Chunk: j.chunk}}
	for b := j.first; b < j.first+j.count; b++ {
		switch j.sources[b].kind {
		case sourceDisk, sourceBad:
			res.Content.Present |= 1 << b
		case sourceNone, sourceZero, sourceSkip:
		}
	}
	s.result(res)
	s.endJob(i)
}

// finishRead verifies what was read, and answers.
func (s *Store) finishRead(i int32, out *step.Effects) {
	j := s.jobs.table[i]
	if !s.verifySources(i, out) {
		return
	}
	for b := j.first; b < j.first+j.count; b++ {
		switch j.sources[b].kind {
		case sourceNone, sourceZero:
			clear(s.blockOf(j, b))
		case sourceBad:
			j.bad |= 1 << b
		case sourceDisk, sourceSkip:
		}
	}
	switch {
	case j.bad == 0 || j.kind == jobPull: // who copies a chunk copies that a part of it is lost
		s.answerRead(i, message.OK)
	case j.bad == j.failed:
		s.answerRead(i, message.DiskFailed)
	default:
		s.answerRead(i, message.Corrupt)
	}
}

// answerRead reports a Read or Pull and ends its job.
func (s *Store) answerRead(i int32, status message.Status) {
	j := s.jobs.table[i]
	res := Result{Kind: ReadDone, Status: status, Handle: Handle(j.handle), Token: j.token, Bad: j.bad}
	if j.kind == jobPull {
		res.Kind, res.Content = PullDone, ChunkContent{Chunk: j.chunk, LastSeq: j.lastSeq}
	}
	if status == message.OK {
		res.Payload = j.buffer
		for b := j.first; b < j.first+j.count; b++ {
			src := &j.sources[b]
			if j.kind == jobRead {
				res.Checksums[b-j.first] = src.sum
				continue
			}
			switch bit := uint16(1) << b; {
			case j.bad&bit != 0:
				res.Content.Present |= bit
				res.Content.Zero |= bit
				clear(s.blockOf(j, b))
			case src.kind == sourceDisk:
				res.Content.Present |= bit
				res.Content.Checksums[b] = src.sum
			case src.kind == sourceZero:
				res.Content.Zero |= bit
			}
		}
		if c := &res.Content; c.LastSeq == 0 && c.Present|c.Zero != 0 {
			c.LastSeq = 1 // all of it shows through from another volume: where it goes it must be listed
		}
	} else {
		j.buffer.Release()
	}
	s.result(res)
	s.endJob(i)
}
