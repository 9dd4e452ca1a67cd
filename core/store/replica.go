package store

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// replica is one copy of a volume on this disk.
//
//	base ≤ homeable ≤ journaled ≤ stable      durable ≤ last ≤ appended
type replica struct {
	handle  uint32
	id      block.ReplicaID
	volume  block.VolumeID
	blocks  uint64 // as of the last accepted record
	asked   uint64 // of the newest RESIZE that was appended
	growing int    // queued ones
	grown   uint64 // by records outside the stream, or a root
	damaged bool
	cutOff  bool // recovery met a gap: the records behind it are not replayed
	torn    bool // a page of its parked records was unreadable: those behind it are not replayed
	gone    bool // Delete was called
	fenced  bool // a Reset or Delete is on its way: nothing goes home meanwhile

	shrinking int // queued records that may take slots away
	resets    int // queued Resets
	snaps     int // queued snapshots
	cuts      int // queued Truncates
	clones    int // queued Creates of clones of it
	pins      int // merges of what it reads wait

	appended  block.Position // of the last call of Append, Truncate or Continue
	cutAt     block.Position // where queued Truncates end the stream: other records follow
	last      block.Position // accepted
	durable   block.Seq
	entered   block.Seq // of the newest record that is in a batch
	stable    block.Seq // as told by SetStable
	journaled block.Seq // the stable that a written batch carries
	homeable  block.Seq // the stable that a sealed batch carries: recovery will know it
	limit     block.Seq // what destaging goes by: homeable, frozen during a checkpoint
	want      block.Seq // Sync was asked up to here

	controls       uint16 // records outside the stream that entered the journal
	rootedControls uint16 // of those, in sealed batches

	meta    Meta // as of the last accepted record
	rooted  Meta // as of the last sealed batch
	metas   []pendingMeta
	born    uint64 // batch of its Create; 0: in a root
	in      bool   // that batch is sealed
	base    block.Position
	records []record // accepted and still in the journal or parked, in journal order
	cursor  int      // records[:cursor] were offered to the destager
	homing  int      // chunks on their way home
	pages   []uint64 // of its parked records

	head      *layer
	snapshots []*layer // its own, in the order in which they were taken
	shapes    []shape  // of the records in records

	ops       opList
	active    bool // in the queue's list
	stableDue bool // stable > journaled, listed for the next seal
	cut       cutState
}

// pendingMeta is a Meta whose batch is not sealed yet.
type pendingMeta struct {
	batch uint64
	meta  Meta
}

// record is what the store remembers of an accepted record.
type record struct {
	Position block.Position
	Batch    uint64 // 0: parked
	Kind     format.Kind
	FUA      bool
	Blocks   uint8  // of data in the ring
	Layer    uint32 // that it writes to, opened or deleted; 0: none
	Range    block.Range
}

// cutState is what a checkpoint froze when it chose its cut.
type cutState struct {
	controls uint16
	meta     Meta
	last     block.Position
	base     block.Position
	stable   block.Seq
	parked   format.Child
	list     []int32 // its records to park, as indices into records
	in       bool    // the replica existed at the cut
}

// inStream reports whether the record has a seq.
func (rec *record) inStream() bool {
	return rec.Kind != format.Resync && rec.Kind != format.Open && rec.Kind != format.Drop
}

// record returns the remembered stream record of seq.
func (r *replica) record(seq block.Seq) *record {
	for i := len(r.records) - 1; i >= 0; i-- {
		if rec := &r.records[i]; rec.Position.Seq == seq && rec.inStream() {
			return rec
		}
	}
	return nil
}

// known returns how much of seq is of records that a queued Truncate leaves.
func (r *replica) known(seq block.Seq) block.Seq {
	if r.cuts > 0 {
		return min(seq, r.cutAt.Seq)
	}
	return seq
}

// journalable returns the stable that the journal may carry: it is told of
// records that are not in it yet, and if those are lost, others take their seqs.
func (r *replica) journalable() block.Seq { return r.known(min(r.stable, r.entered)) }

// info returns the replica's state as its caller sees it.
func (r *replica) info() ReplicaInfo {
	return ReplicaInfo{
		Handle: Handle(r.handle), Replica: r.id, Volume: r.volume, Blocks: r.blocks, Meta: r.meta,
		LastAccepted: r.last, Durable: r.durable, Stable: r.stable, Damaged: r.damaged,
	}
}

// Replicas appends what is on the disk to list, in handle order.
func (s *Store) Replicas(list []ReplicaInfo) []ReplicaInfo {
	for _, r := range s.replicas {
		if !r.gone {
			list = append(list, r.info())
		}
	}
	return list
}

// Info returns one replica's state.
func (s *Store) Info(h Handle) (ReplicaInfo, bool) {
	r := s.byHandle[uint32(h)]
	if r == nil || r.gone {
		return ReplicaInfo{}, false
	}
	return r.info(), true
}

// replica returns what h names while the store is open.
func (s *Store) replica(h Handle) *replica {
	if s.phase != phaseOpen {
		return nil
	}
	r := s.byHandle[uint32(h)]
	if r == nil || r.gone {
		return nil
	}
	return r
}

// addReplica makes the entry of a replica; it has no head yet.
func (s *Store) addReplica(handle uint32, id block.ReplicaID, vol block.VolumeID, blocks uint64, meta Meta) *replica {
	r := &replica{handle: handle, id: id, volume: vol, blocks: blocks, meta: meta, rooted: meta}
	r.ops = opList{head: index.None, tail: index.None}
	at, _ := slices.BinarySearchFunc(s.replicas, handle, func(r *replica, h uint32) int { return int(r.handle) - int(h) })
	s.replicas = slices.Insert(s.replicas, at, r)
	s.byHandle[handle] = r
	s.nextHandle = max(s.nextHandle, handle+1)
	return r
}

func (s *Store) removeReplica(r *replica) {
	delete(s.byHandle, r.handle)
	s.replicas = slices.DeleteFunc(s.replicas, func(o *replica) bool { return o == r })
}

// has reports whether the volume reaches into chunk c.
func (r *replica) has(c block.Chunk) bool { return reaches(r.blocks, c) }

// reaches reports whether that many blocks reach into chunk c.
func reaches(blocks uint64, c block.Chunk) bool {
	return uint64(c) < (blocks+block.PerChunk-1)/block.PerChunk
}

// leavesOf returns how many leaves describe that many blocks.
func leavesOf(blocks uint64) uint64 {
	const perLeaf = format.LeafChunks * block.PerChunk
	return max(1, (blocks+perLeaf-1)/perLeaf)
}
