// Package coordinator serves one attached volume: it takes the volume over,
// orders its operations, replicates them to every required member, answers when
// all have accepted, evicts members that fail and refills those that come back.
// Its callers are the body, which hands it requests and timers, and the
// transport's events; one Coordinator is one session.
//
//	claiming ──▶ preparing ──▶ deciding ──▶ reconciling ──▶ recording ──▶ granting ──▶ serving ──▶ detaching ──▶ ended
//	   ▲          promises       who stays     same last       new           may          │           all           ▲
//	   │                         and where     record on     incarna-       read          │         durable         │
//	   │                         they end      all           tions                        │                         │
//	   └──────── a chosen member was lost meanwhile ◀───────────┘                         └─ fenced, forced, deleted ┘
//
// Invariants: at most one change of the configuration is under way; an
// operation is acknowledged only when every required member has accepted it;
// committed ≤ every required member's accepted; stable ≤ every required
// member's durable; both only rise within a takeover.
package coordinator

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// The protocol's times. A grant counts for 80 % of its duration here and for
// all of it at the replica: 0.8 × grantDuration ≥ evictAfter + 0.75 s.
const (
	tickEvery      = 100 * time.Millisecond
	grantDuration  = 2500 * time.Millisecond
	grantCounts    = grantDuration * 8 / 10
	grantEvery     = 400 * time.Millisecond
	evictAfter     = 1200 * time.Millisecond // silence or lag of one member while another is fine
	failAfter      = 2 * time.Second         // silence of a member during a takeover
	syncEvictAfter = 5 * time.Second         // a sync that does not come back
	readRetryAfter = 500 * time.Millisecond
	confirmEvery   = 500 * time.Millisecond // a promise that waits for others is asked for again
	dialEvery      = 200 * time.Millisecond
	syncEvery      = time.Second // committed operations are made durable at least this often
	reissueAfter   = 100 * time.Millisecond
	resyncPause    = 2 * time.Second // before a resync that failed is tried again
)

// Params is what a coordinator is made from.
type Params struct {
	Node      block.NodeID
	Volume    block.VolumeID
	Seed      uint64
	BlockSize int // bytes
	Pool      block.Pool
	Config    *volume.Config    // as last seen
	Revision  metadata.Revision // of Config
	Attached  metadata.Revision // of the attachment record that names this node
	// Served is the era of the session that served a device which outlived it and
	// is to be served again; 0: there is none.
	Served block.Epoch
	Window Window
}

type phase uint8

const (
	claiming phase = iota
	preparing
	deciding
	reconciling
	recording
	granting
	serving
	detaching
	ended
)

// Coordinator is one session of one volume; see the package comment.
type Coordinator struct {
	p       Params
	random  random
	session block.Session
	phase   phase
	now     step.Time

	config        *volume.Config // newest known to be in the metadata store
	revision      metadata.Revision
	proposed      *volume.Config // the change under way, or nil
	proposalTag   uint32
	restartWanted bool // a chosen member was lost while a change was under way
	verifying     bool // a read of the configuration is under way
	hearsay       hearsay

	era        block.Epoch
	since      step.Time // when this takeover's preparing began
	takeover   takeover
	members    []*member // one a member of config, in its order
	connNumber uint64    // of the last connection made; names and numbers it

	window     window
	committed  block.Seq
	stable     block.Seq
	syncedAt   step.Time // when the last periodic sync was asked for
	ops        opTable
	flushes    []flush // rising targets
	rhythm     rhythm
	repairs    repairs
	damage     damage
	snapshots  snapshots
	growth     growth
	comparison comparison
	requested  step.Time // when the device asked for something last
	resync     *resync
	resynced   uint64 // bytes sent to members that were being filled
	status     string // as last reported
	placement  placement
}

// New returns a coordinator; its first event is EventStart.
func New(p Params) *Coordinator {
	c := &Coordinator{p: p, random: random(p.Seed), config: p.Config.Clone(), revision: p.Revision, window: window{limits: p.Window}}
	c.session = block.Session(c.random.next() | 1)
	c.growth.usable = c.config.LeastBlocks()
	return c
}

// Session returns the session's identity.
func (c *Coordinator) Session() block.Session { return c.session }

// Config returns the newest configuration known to be in the metadata store.
// It must not be changed.
func (c *Coordinator) Config() *volume.Config { return c.config }

// Resynced returns how many bytes were sent to members that were being filled
// since the session began.
func (c *Coordinator) Resynced() uint64 { return c.resynced }

// Unstable returns the first operation that can still be given to a member that has
// lost it.
func (c *Coordinator) Unstable() block.Seq { return c.window.base }

// Serving reports whether requests are answered.
func (c *Coordinator) Serving() bool { return c.phase == serving || c.phase == detaching }

// Step takes one event.
func (c *Coordinator) Step(now step.Time, ev *step.Event, out *step.Effects) {
	c.now = now
	if c.phase == ended {
		c.refuseAfterEnd(ev, out)
		return
	}
	switch ev.Kind {
	case step.EventStart:
		out.After(now, tickEvery, step.Tag{})
		c.claim(out)
	case step.EventTimer:
		c.onTimer(ev.Tag, out)
	case step.EventConnected:
		c.onConnected(ev.Conn, out)
	case step.EventMessage:
		c.onMessage(ev.Conn, &ev.Message, out)
	case step.EventClosed:
		c.onClosed(ev.Conn, ev.ConnError, out)
	case step.EventTransaction:
		c.onTransaction(ev.Tag, &ev.Result, out)
	case step.EventRequest:
		c.onRequest(&ev.Request, out)
	case step.EventDelivered:
		c.onDelivered(ev.Request.Operation, out)
	case step.EventControl:
		c.onControl(&ev.Control, out)
	case step.EventInvalid, step.EventDiskDone, step.EventAccepted, step.EventWatch, step.EventCommand:
		// never sent to a coordinator
	}
}

func (c *Coordinator) refuseAfterEnd(ev *step.Event, out *step.Effects) {
	ev.Message.Payload.Release()
	if ev.Kind == step.EventRequest {
		ev.Request.Payload.Release()
		out.Complete(ev.Request.ID, step.RequestRefused, block.Buffer{})
	}
}

// Timers: slot 0 is the tick, slot 1 re-issues a transaction. Transactions: slot 0
// reads the configuration, slot 1 changes it, slot 2 changes the list of snapshots.
const (
	reissueSlot   = 1
	snapshotsSlot = 2
)

func (c *Coordinator) onTimer(tag step.Tag, out *step.Effects) {
	if tag.Slot == reissueSlot {
		if c.proposed != nil && tag.Generation == c.proposalTag {
			c.issue(out)
			if blindRetry {
				out.Marks.Hit("mutant: blind retry")
				out.Transactions[len(out.Transactions)-1].Txn.Guards = nil
			}
		}
		return
	}
	out.After(c.now, tickEvery, step.Tag{})
	c.dialMissing(out)
	switch c.phase {
	case preparing:
		c.decide(out)
		c.confirmPromises(out)
	case reconciling, recording, granting:
		c.renewGrants(out)
		c.watchChosen(out)
	case serving, detaching:
		c.renewGrants(out)
		c.syncPeriodically(out)
		c.retryReads(out)
		c.superviseResync(out)
		c.seekLost(out)
		c.superviseReturns(out)
		c.trimWindow(out) // nobody writes, and whom it was kept for stays away
		c.tellDamage(out)
		c.reconfigure(out)
		c.driveGrowth(out)
		c.driveSnapshots(out)
		c.driveComparison(out)
		c.finishDetach(out)
	case claiming, deciding, ended:
	}
}

func (c *Coordinator) onControl(control *step.Control, out *step.Effects) {
	switch control.Kind {
	case step.ConfigChanged:
		c.onConfigSeen(control.Config, metadata.Revision(control.Revision), out)
	case step.StopCoordinator:
		c.onStop(control.Force, out)
	case step.PlacementChanged:
		c.onPlacement(control.Placement, metadata.Revision(control.Revision), out)
	case step.CompareVolume:
		c.onCompare(control.Force, out)
	case step.SizeChanged:
		c.onSize(control.Blocks, out)
	case step.SnapshotsChanged:
		c.onSnapshots(control.Snapshots, metadata.Revision(control.Revision), out)
	case step.ControlInvalid, step.DiskReady, step.DiskUnusable, step.ReplicaMade, step.ReplicaFreed, step.DiskSpace, step.DiskAiling,
		step.DiskScrubbed, step.ScrubDisk,
		step.MakeReplica, step.FreeReplica, step.StartCoordinator, step.VolumeServing,
		step.VolumeWaiting, step.VolumeDamaged, step.VolumeGrown, step.VolumeCompared, step.VolumeFenced, step.VolumeDetached, step.VolumeUsed, step.FreezeVolume, step.VolumeFrozen, step.ThawVolume,
		step.VolumeWanted, step.NodeEnded:
		// not for coordinators
	}
}

// report tells the body and the orchestrator why requests wait, once a reason.
func (c *Coordinator) report(text string, out *step.Effects) {
	if text == c.status {
		return
	}
	c.status = text
	out.Controls = append(out.Controls, step.Control{
		Kind: step.VolumeWaiting, Volume: c.p.Volume, Session: c.session, Text: text,
	})
}

// reportServing tells them that requests are answered, for the first time or again.
func (c *Coordinator) reportServing(out *step.Effects) {
	c.status = ""
	out.Controls = append(out.Controls, step.Control{
		Kind: step.VolumeServing, Volume: c.p.Volume, Session: c.session, Era: c.era, Lossless: c.lossless(out), Blocks: c.growth.usable,
	})
}

// lossless reports whether everything is there that was acknowledged by the session
// before this one, and by all back to the one that served the device which is to be
// served again: what its kernel keeps in memory rests on that.
func (c *Coordinator) lossless(out *step.Effects) bool {
	kept := c.takeover.lossless && (c.p.Served == 0 || c.config.LossyEra <= c.p.Served)
	if adoptLossy && !kept {
		out.Marks.Hit("mutant: adopt lossy")
		return true
	}
	return kept
}

// random is splitmix64: all of a coordinator's choices come from its seed.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
