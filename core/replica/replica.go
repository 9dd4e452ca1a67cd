// Package replica is one copy of a volume on one disk: it promises itself to
// one coordinator session at a time, accepts that session's stream into the
// disk's store, and serves reads, tails and resyncs. Its caller is the disk's
// shard (core/node), which routes messages and the store's results here.
//
//	            PREPARE(era ≥ promised)          durable
//	[ any ] ─────────────────────────▶ [ promising ] ──▶ PROMISE ──▶ [ prepared ]
//	                                                                     │ APPEND, SYNC, READ, GRANT …
//	frame of a lower era or another session ──▶ FENCED(promised)         ▼
//	frame before PREPARE on its connection  ──▶ UNPREPARED            answers
//
// Invariants: promised ≥ the era of everything accepted; nothing is
// acknowledged as accepted before its journal write completed, nor as durable
// before a later sync completed.
package replica

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
)

// GrantMax bounds a grant: no coordinator asks for more, and a restarted
// replica assumes that it had just given one of this length.
const GrantMax = 2500 * time.Millisecond

// Params is what a replica is made from, once its store is open.
type Params struct {
	Store       *store.Store
	Info        store.ReplicaInfo
	Incarnation block.Incarnation
	BootID      block.BootID
	Taint       uint32 // of the last write or sync error of this boot on the disk, 0: none
	Restarted   bool   // the replica existed before this process: it may have given a grant
}

// Replica is one copy of a volume; see the package comment.
type Replica struct {
	store       *store.Store
	handle      store.Handle
	id          block.ReplicaID
	vol         block.VolumeID
	incarnation block.Incarnation
	boot        block.BootID
	taint       uint32
	tainted     bool // accepted records may be lost, and nobody has looked yet

	meta        store.Meta // as last handed to the store
	metaPending int        // SetMeta records not yet durable
	appended    block.Seq  // last handed to the store; accepted ≤ appended
	accepted    block.Seq
	durable     block.Seq // ≤ accepted
	grantUntil  step.Time // no coordinator answers reads by this replica's grant after it

	links    []link // few: one stream and perhaps one bulk connection a session
	requests requestTable
	live     map[layerChunk]uint16 // blocks written since the live stream began; nil when not a live target
	hidden   block.Seq             // of live: up to here what the stream wrote kept blocks out of pushes
	rotten   map[layerChunk]uint16 // blocks that a scrub found lost, until they are overwritten or repaired
	ackDue   bool
}

// New returns the replica as recovery found it.
func New(now step.Time, p Params) *Replica {
	r := &Replica{
		store:       p.Store,
		handle:      p.Info.Handle,
		id:          p.Info.Replica,
		vol:         p.Info.Volume,
		incarnation: p.Incarnation,
		boot:        p.BootID,
		taint:       p.Taint,
		tainted:     p.Taint != 0 && p.Taint != p.Info.Meta.Overcome,
		meta:        p.Info.Meta,
		appended:    p.Info.LastAccepted.Seq,
		accepted:    p.Info.LastAccepted.Seq,
		durable:     p.Info.Durable,
	}
	r.inspect(&p.Info)
	if p.Restarted {
		r.grantUntil = now.Add(GrantMax)
	}
	return r
}

// inspect draws the consequences of damage, which the store finds when it is
// opened, or later, when it first reads a page.
func (r *Replica) inspect(info *store.ReplicaInfo) {
	if info.Damaged {
		r.tainted = true
		r.meta.Complete, r.meta.SyncTarget = false, block.Position{} // what is missing need not be at the end
	}
}

// ID returns the replica's identity.
func (r *Replica) ID() block.ReplicaID { return r.id }

// Volume returns the volume that the replica is a copy of.
func (r *Replica) Volume() block.VolumeID { return r.vol }

// Handle returns what the store calls the replica.
func (r *Replica) Handle() store.Handle { return r.handle }

// Whole reports whether the replica lacks nothing up to its last record.
func (r *Replica) Whole() bool { return r.meta.Complete }

// Learn takes note of a newer configuration. What it says of this replica's
// epochs is written to the disk with the next promise: only freeing the replica
// depends on it. If it records this very incarnation, a coordinator that knew
// what must be there has looked: a failure of the disk has cost nothing.
//
// A restored configuration teaches nothing: what the replica knows of newer ones,
// which were lost, must not be forgotten over it.
func (r *Replica) Learn(now step.Time, c *volume.Config, out *step.Effects) {
	if c.Restored != nil {
		return
	}
	r.meta.KnownEpoch = max(r.meta.KnownEpoch, c.Epoch)
	m := c.Member(r.id)
	if m == nil {
		return
	}
	r.meta.MemberEpoch = max(r.meta.MemberEpoch, c.Epoch)
	if r.tainted && m.State == volume.InSync && m.Incarnation == r.incarnation {
		out.Marks.Hit("replica: failure of the disk overcome")
		r.overcome()
		r.setMeta(now, request{}, out)
	}
}

func (r *Replica) overcome() { r.tainted, r.meta.Overcome = false, r.taint }

// MayBeFreed reports whether c proves that no configuration will ever list this
// replica again: a tombstone, or one newer than every configuration that listed
// it. One that came out of a backup proves nothing.
func (r *Replica) MayBeFreed(c *volume.Config) bool {
	return c.Tombstone || c.Restored == nil && c.Member(r.id) == nil && c.Epoch > r.meta.MemberEpoch
}

// Result takes one result of the store that carries this replica's handle.
func (r *Replica) Result(now step.Time, res *store.Result, out *step.Effects) {
	switch res.Kind {
	case store.Accepted:
		invariant.That(res.Position.Seq <= r.appended, "accepted is at most what was appended")
		r.accepted = max(r.accepted, res.Position.Seq)
		r.ackDue = true
	case store.Refused:
		r.onRefused(res, out)
	case store.Durable:
		r.durable = max(r.durable, res.Position.Seq)
		r.ackDue = true
	case store.RecordDone:
		r.onRecordDone(now, res, out)
	case store.ReadDone:
		r.onReadDone(res, out)
	case store.TailRecord:
		r.onTailRecord(res, out)
	case store.TailDone:
		r.answerDone(res, out)
	case store.ChangesDone:
		r.onChangesDone(res, out)
	case store.PullDone:
		r.onPullDone(res, out)
	case store.PushDone:
		r.answerDone(res, out)
	case store.RepairDone:
		r.onRepairDone(res, out)
	case store.Rotten:
		r.onRotten(res, out)
	case store.ResultInvalid, store.Formatted, store.Opened, store.Failed, store.Closed, store.ScrubDone, store.MeasureDone:
		invariant.That(false, "a replica is handed results of replicas only")
	}
}

// Flush sends the acknowledgement that is due, one for all that the step
// completed. The shard calls it once at the end of each of its steps.
func (r *Replica) Flush(out *step.Effects) {
	if !r.ackDue {
		return
	}
	r.ackDue = false
	l := r.stream()
	if l == nil {
		return
	}
	_, free := r.store.Space()
	out.Send(l.conn, message.Message{
		Kind:     message.Ack,
		Era:      r.meta.Promised,
		Accepted: r.accepted,
		Durable:  min(r.durable, r.accepted),
		Credit:   uint32(min(free/int64(block.PerChunk*r.store.BlockSize()), 1<<31)),
		Pressure: r.store.Pressure(),
	})
}
