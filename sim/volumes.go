package sim

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/linearizability"
)

// volumeState is what the world, which sees everything, knows of a volume.
type volumeState struct {
	plan          *VolumePlan
	id            block.VolumeID
	name          string
	config        *volume.Config // as the metadata store has it at this instant
	attachment    volume.Attachment
	history       *linearizability.History
	past          []*linearizability.History // of what it was before it went back to snapshots
	deleting      bool                       // its deletion was asked for
	deleted       bool                       // and is recorded
	restore       restore                    // under way
	members       map[block.ReplicaID]*memberState
	proposed      map[uint64]proposal           // by change
	eras          map[block.Session]block.Epoch // of every session that ever was in the configuration
	began         map[block.Epoch]beginning     // of every era, as it was recorded
	counted       map[counted]block.Seq         // how far copies said that they have accepted
	servings      []*serving                    // coordinators that exist, oldest first
	era           block.Epoch                   // of the newest session that came to serve
	serves        int64                         // since when it does
	settledLosses int                           // how often a takeover settled that acknowledged writes are gone
	losses        int                           // how often every copy at once lost what was not flushed
	lossEpoch     block.Epoch                   // of the configuration at the last loss; 0 once clients have seen what it left
	lossOwner     block.Session                 // that served then, and can make whole what lost power; 0: nobody
	takeovers     int
	wrote         int                     // writes acknowledged
	syncing       map[block.ReplicaID]int // of a resync under way: wrote when it began
	beyond        bool                    // lost more than the protocol promises to survive: not judged
	writes        map[uint64]*request     // by the value of their first block
	acked         block.Seq               // of the newest record that a client was told of
	accepted      map[saying]said         // by members in sync, as they said in an era; only where disks fill up
	busy          []uint8                 // by block: requests under way
	image         []byte                  // what the read-back returned
	unread        []bool                  // the blocks that it did not; nil: it did all
	told          int                     // blocks that its newest session said that it has
	placement     *volume.Placement       // as the metadata store has it at this instant; nil: its copies were never changed
	snapshots     *volume.Snapshots       // as the metadata store has them at this instant; nil: it never had one
	images        images
	floors        map[block.LayerID]floor // by the snapshots that were asked for
	origin        *volumeState            // of a clone
	layer         block.LayerID           // of origin, from which it was cloned
	base          []block.Checksum        // what it began with
	busied        bool                    // it has a client
	endedSnaps    uint64                  // snapshots deleted by clients
}

// memberState is what happened to one copy.
type memberState struct {
	wounded bool // may lack acknowledged writes: it lost what was not flushed
	since   int64
	old     bool // its disk went back to an older image
	gone    bool // its disk does not exist any more
	unsound bool // its disk's journal or metadata were damaged
	refused bool // its disk does not open: it is unsound, and was so perhaps before this copy was made
	silent  bool // it lacks records, and its store does not know
}

// serving is one coordinator as clients see it.
type serving struct {
	shard      *shard
	volume     *volumeState
	ready      bool              // it said that it serves
	blocks     int               // that the volume has, as it said last
	comparison volume.Comparison // of its copies, as it said last
	lingers    bool              // no container has it
	text       string            // why requests wait, if it said so
	waits      int64             // since when
	era        block.Epoch       // 0: not known
	requests   []*request        // not answered
	number     uint64            // of the attachment that it was made for
	device     *device           // that it serves, if that outlives its process
	survivor   *survivor         // what is left of it; nil: nothing
}

func (w *World) volume(id block.VolumeID) *volumeState {
	for _, v := range w.volumes {
		if v.id == id {
			return v
		}
	}
	return nil
}

func (v *volumeState) member(r block.ReplicaID) *memberState {
	m := v.members[r]
	if m == nil {
		m = &memberState{}
		v.members[r] = m
	}
	return m
}

// wound notes that what a body's disk (-1: every disk) had not flushed may be
// gone, and whether that was the last copy that had it.
func (w *World) wound(b *body, drive int, why string) {
	for _, v := range w.volumes {
		hit := false
		for i := range v.config.Members {
			m := &v.config.Members[i]
			if m.Node != b.id || drive >= 0 && m.Disk != b.drives[drive].id {
				continue
			}
			if m.State == volume.InSync && v.config.CleanAt == nil {
				v.member(m.Replica).wound(w.now)
				hit = true
			}
		}
		if hit && w.checkLoss(v, why) {
			v.lossOwner = v.server()
		}
	}
}

// checkLoss notes that no copy with every acknowledged write may be left. While
// the coordinator lives it can still show, and send again, what the copies lost.
// So the loss takes effect with the next session that serves.
func (w *World) checkLoss(v *volumeState, why string) (lost bool) {
	if v.whole(nil, 0) {
		return false
	}
	v.losses++
	v.acked, v.told = 0, 0
	w.counts.TotalLosses++
	w.tracef(nil, "%s: no copy with every acknowledged write is left (%s)", v.name, why)
	v.lossEpoch, v.lossOwner = v.config.Epoch, 0
	return true
}

// showLoss records a loss before the session of an era serves. One that was
// there before the loss may serve what its own successor will lack.
func (w *World) showLoss(v *volumeState, era block.Epoch) {
	if v.lossEpoch == 0 || w.plan.Canary {
		return
	}
	v.history.PowerLoss(w.now)
	if era > v.lossEpoch || v.whole(nil, 0) {
		v.lossEpoch = 0
	}
}

// recorded takes note of every change of the metadata store, in order.
func (w *World) recorded(c *metadata.Change) {
	id, part, ok := volume.ParseVolumeKey(c.Key)
	v := w.volume(id)
	if !ok || v == nil || v.deleted {
		return
	}
	switch part {
	case "attachment":
		v.attachment = volume.Attachment{}
		if !c.Deleted {
			v.attachment = w.parseAttachment(c.Value)
		}
	case "snapshots":
		list, err := volume.Parse[volume.Snapshots](c.Value)
		if err != nil {
			w.fail("records", "a list of snapshots: %v", err)
		}
		w.listed(v, &list)
	case "placement":
		p, err := volume.Parse[volume.Placement](c.Value)
		if err != nil {
			w.fail("records", "a placement: %v", err)
		}
		w.placed(v, &p)
	case "config":
		if c.Deleted {
			w.fail("I7", "the configuration of %s was deleted", v.name)
		}
		next, err := volume.ParseConfig(c.Value)
		if err != nil {
			w.fail("I7", "configuration of %s: %v", v.name, err)
		}
		if next.Tombstone {
			w.buried(v)
			return
		}
		w.configured(v, next)
	}
}

func (w *World) parseAttachment(data []byte) volume.Attachment {
	a, err := volume.Parse[volume.Attachment](data)
	if err != nil {
		w.fail("records", "an attachment record: %v", err)
	}
	return a
}

// configured checks a new configuration against the one before (I7) and learns
// from it which copies are whole.
func (w *World) configured(v *volumeState, next *volume.Config) {
	before := v.config
	hadWhole := before != nil && v.whole(nil, 0)
	hadDisk := before != nil && v.undamaged()
	v.config = next
	w.shootConfig(v, next)
	if err := next.Check(); err != nil {
		w.fail("I7", "%v", err)
	}
	if before == nil {
		return
	}
	if w.watched() {
		w.tracef(nil, "%s: configuration %s", v.name, configText(next))
	}
	leaps := next.Restored != nil && next.Epoch > before.Epoch
	if next.Epoch != before.Epoch+1 && !leaps {
		w.fail("I7", "%s goes from epoch %d to %d", v.name, before.Epoch, next.Epoch)
	}
	w.countChange(v, before, next)
	w.checkPlacement(v, before, next)
	for i := range next.Members {
		w.memberChanged(v, before, &next.Members[i])
	}
	w.acquit(v)
	if n := next.Coordinator; n != nil && n.Session == v.lossOwner && v.whole(nil, 0) {
		v.lossEpoch, v.lossOwner = 0, 0 // its window had what they lost
	}
	lostWhole, lostDisk := hadWhole && !v.whole(nil, 0), hadDisk && !v.undamaged()
	if lostWhole || lostDisk && !w.outlasts(v, before, next) {
		w.mayPutOut(v, next)
	}
}

// acquit looks at the disks of a detached volume: a copy that may have lost
// something, but has the last record durable, lost nothing after all.
func (w *World) acquit(v *volumeState) {
	if v.config.CleanAt == nil {
		return
	}
	for i := range v.config.Members {
		m := &v.config.Members[i]
		state := v.member(m.Replica)
		if m.State != volume.InSync || !state.wounded || state.gone {
			continue
		}
		if last, complete := w.durableOf(m); complete && last == *v.config.CleanAt {
			state.wounded, state.old = false, false
		}
	}
}

// noticeAfter is how long a coordinator may take a member for valid that lost
// power: silence is noticed after 1.2 s, and timers are late.
const noticeAfter = 3 * time.Second

// mayPutOut looks at a change that left no copy with every acknowledged write,
// though one existed. When it was proposed nobody could know if the last copy
// that stays had lost power only just before, or did so later; if it was down
// for long, or its coordinator had stood still for that long, it is wrong.
func (w *World) mayPutOut(v *volumeState, next *volume.Config) {
	proposed, known := v.proposed[next.Change]
	if !known {
		w.fail("I7", "epoch %d of %s was proposed by nobody", next.Epoch, v.name)
	}
	for i := range next.Members {
		m := &next.Members[i]
		state := v.member(m.Replica)
		if m.State == volume.InSync && (state.silent || proposed.at-state.since < int64(noticeAfter)+proposed.stood) {
			w.counts.BlindEvictions++
			v.beyond = v.beyond || state.old
			w.checkLoss(v, "the last valid copy lost power unnoticed while another was put out")
			return
		}
	}
	w.fail("I2", "epoch %d of %s leaves no copy that has every acknowledged write, though one exists", next.Epoch, v.name)
}

// proposal is when a change of a configuration was first asked for, and for how
// long its proposer had stood still before.
type proposal struct{ at, stood int64 }

// propose notes the changes of configurations that a machine asks for.
func (w *World) propose(s *shard, t *metadata.Txn) {
	for _, o := range t.Ops {
		id, part, ok := volume.ParseVolumeKey(o.Key)
		v := w.volume(id)
		if !ok || part != "config" || v == nil || v.deleted {
			continue
		}
		c, err := volume.ParseConfig(o.Value)
		if err != nil {
			w.fail("I7", "%s proposes for %s: %v", s, v.name, err)
		}
		if _, known := v.proposed[c.Change]; !known {
			v.proposed[c.Change] = proposal{at: w.now, stood: s.body.stood}
		}
	}
}

func (m *memberState) wound(now int64) {
	if !m.wounded {
		m.wounded, m.since = true, now
	}
}

func (w *World) memberChanged(v *volumeState, before *volume.Config, m *volume.Member) {
	state := v.member(m.Replica)
	b := w.bodyOf(m.Node)
	if m.State != volume.InSync || b == nil {
		return
	}
	old := before.Member(m.Replica)
	fresh := m.BootID == b.boot && b.powered && m.BootID != block.BootID{}
	switch {
	case fresh && (old == nil || old.State != volume.InSync || old.BootID != m.BootID || old.Incarnation != m.Incarnation):
		*state = memberState{unsound: state.unsound} // recorded after a sync covered everything
	case old == nil || old.State != volume.InSync:
		// It lost power after it was filled and before this was decided.
		if v.config.CleanAt == nil {
			state.wound(w.now)
		}
	}
}

func (w *World) countChange(v *volumeState, before, next *volume.Config) {
	if n := next.Coordinator; n != nil {
		era := v.eras[n.Session]
		if era == 0 {
			era = next.Epoch
			if before.Coordinator != nil {
				v.takeovers++
				w.counts.Takeovers++
			}
		}
		if h := next.History; len(h) > 0 {
			newest := h[len(h)-1]
			era = max(era, newest.Era)
			if _, known := v.began[newest.Era]; !known {
				v.began[newest.Era] = beginning{first: newest.First, at: w.now}
				if v.lossEpoch != 0 && !v.whole(nil, 0) {
					v.settledLosses++
				}
			}
		}
		v.eras[n.Session] = era
	}
	for i := range next.Members {
		m := &next.Members[i]
		old := before.Member(m.Replica)
		switch {
		case old == nil || old.State == m.State:
		case m.State == volume.Syncing:
			v.syncing[m.Replica] = v.wrote
		case old.State == volume.InSync && m.State == volume.Out:
			w.counts.Evictions++
		case old.State == volume.Syncing && m.State == volume.InSync:
			w.counts.Resyncs++
			if v.wrote > v.syncing[m.Replica] {
				w.counts.BusyResyncs++
			}
		}
	}
}

// newServing notes a coordinator that was just made.
func (w *World) newServing(s *shard) *serving {
	v := w.volume(s.volume)
	if v == nil {
		v = &volumeState{id: s.volume, name: "a short-lived volume"} // nobody writes to it, so nobody judges it
	}
	st := &serving{shard: s, volume: v}
	v.servings = append(v.servings, st)
	return st
}

// hear takes note of every control on its way.
func (w *World) hear(s *shard, c *step.Control) {
	if w.watched() {
		w.tracef(s.body, "%s: %s", s, controlText(c))
	}
	w.shootControl(s, c)
	switch c.Kind {
	case step.DiskScrubbed:
		s.body.drives[s.disk].scrub = c.Scrub
	case step.DiskReady:
		s.ready = true
		s.body.goOnScrubbing(s.disk)
		w.reopened(s)
	case step.DiskUnusable:
		s.body.expect(s.disk)
		s.body.drives[s.disk].expectDurable() // a failed sync takes the rest
		s.ready = false
		w.refuses(s)
		w.counts.DisksStopped++
		w.revive(s)
	case step.VolumeServing:
		w.serves(s, c)
		w.sized(s.state, c)
	case step.VolumeCompared:
		w.compared(s.state, c)
	case step.VolumeGrown:
		w.sized(s.state, c)
	case step.VolumeWaiting:
		s.state.text, s.state.waits = c.Text, w.now
		if c.Text == "" {
			w.fail("words", "%s waits without saying why", s)
		}
	case step.VolumeFenced:
		w.counts.Fenced++
		s.state.ready = false
	case step.VolumeDetached:
		s.state.ready = false
	default:
	}
}

// serves notes that a session answers requests from now on.
func (w *World) serves(s *shard, c *step.Control) {
	st, v := s.state, s.state.volume
	st.ready, st.text = true, ""
	if v.config == nil {
		return
	}
	session := c.Session
	if n := v.config.Coordinator; session == 0 && n != nil && n.Node == s.body.id {
		session = n.Session
	}
	era := v.eras[session]
	if era == 0 || era == st.era {
		return
	}
	st.era = era
	if w.plan.Survival {
		w.deviceOf(st, c)
	}
	for _, r := range st.requests {
		if !r.apart {
			r.history.Serve(r.op, era)
		}
	}
	w.showLoss(v, era)
	w.checkDevice(st)
	v.history.Attach(w.now, era)
	if era > v.era {
		v.era, v.serves = era, w.now
	}
	w.counts.Served++
}
