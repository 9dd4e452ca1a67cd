package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/volume"
)

// Copies are added, moved and removed by commands of clients, and made anew in
// place of lost ones. What is wanted is recorded; a healed world gets there.

// drawPlacement makes copies come and go in a third of the runs, and lost ones be
// made anew in half of those. It comes after all other draws. Disks that fill up
// are left alone: a copy that is filled there has no room.
func (p *Plan) drawPlacement() {
	s := newStream(p.Seed, "placement", 0)
	if p.Copies = s.oneIn(3) && !p.Full; p.Copies && s.oneIn(2) {
		p.HealAfter = s.logSpan(time.Second, 20*time.Second)
	}
}

// changeCopies asks a node to add, move or remove a copy, or not to. Which one, and
// where, follows from the blocks that were drawn, and from how often the volume's
// configuration has changed.
func (c *client) changeCopies(kind volume.CommandKind) {
	w, v := c.world, c.volume
	pick := scramble(uint64(kind)<<48 ^ uint64(c.index)<<32 ^ uint64(v.config.Epoch)<<16 ^ c.picks)
	part := func(n int) int {
		i := int(pick % uint64(n))
		pick = scramble(pick)
		return i
	}
	command := volume.Command{Kind: kind, Name: v.name}
	held := v.config.Members[part(len(v.config.Members))].Node
	other := w.bodies[part(len(w.bodies))].id
	switch kind {
	case volume.AddReplica:
		if part(2) == 0 {
			command.Node = other
		}
	case volume.MoveReplica:
		command.From, command.Node = held, other
	case volume.RemoveReplica:
		command.Node = held
	case volume.SetVolume:
		command.Spec = volume.Spec{Replicas: 1 + part(3)}
	default:
	}
	if to := w.bodies[part(len(w.bodies))]; to.life != 0 {
		w.operator.send(to, command)
	}
}

// changes is what a client asks for with an operation on copies.
func changes(kind volume.CommandKind) func(*client, *operation, Operation) {
	return func(c *client, _ *operation, o Operation) {
		if c.world.healed || c.volume.deleted {
			return
		}
		c.note(&o)
		c.picks = uint64(o.Range.First)<<8 | uint64(o.Range.Count)
		c.changeCopies(kind)
	}
}

// placed takes note of a new placement.
func (w *World) placed(v *volumeState, p *volume.Placement) {
	if err := p.Check(); err != nil {
		w.fail("records", "%v", err)
	}
	before := v.placement
	w.checkArrivals(v, before, p)
	v.placement = p
	if w.watched() {
		w.tracef(nil, "%s: placement %s", v.name, w.placementText(p))
	}
	for _, at := range p.Copies {
		if before != nil && !before.Wants(at.Replica) && !slices.ContainsFunc(before.Leaving, func(o volume.Place) bool { return o.Replica == at.Replica }) {
			w.counts.CopiesWanted++
		}
	}
}

func (w *World) placementText(p *volume.Placement) string {
	var s strings.Builder
	list := func(name string, places []volume.Place) {
		s.WriteString(name)
		for _, at := range places {
			name := "?"
			if b := w.bodyOf(at.Node); b != nil {
				name = b.name
			}
			s.WriteString(" " + name + ":" + at.Replica.String()[:8])
			if at.Heals != nil {
				s.WriteString(" for " + at.Heals.String()[:8])
			}
		}
	}
	list("wants", p.Copies)
	list(", leaving", p.Leaving)
	list(", left", p.Left)
	if p.Before != nil {
		list(", before", p.Before.Copies)
	}
	return s.String()
}

// checkPlacement compares the copies that a configuration lists with those of the
// one before: they come as ones that lack everything, because they are wanted; one
// in sync goes when it is not, and all that are wanted are in sync.
func (w *World) checkPlacement(v *volumeState, before, next *volume.Config) {
	if next.Tombstone {
		return
	}
	for i := range next.Members {
		if m := &next.Members[i]; before.Member(m.Replica) == nil {
			w.counts.CopiesAdded++
			if m.State != volume.Out || v.placement == nil || !v.placement.Wants(m.Replica) {
				w.fail("placement", "epoch %d of %s lists a copy on %s that is %s, and was not asked for", next.Epoch, v.name, w.bodyOf(m.Node).name, m.State)
			}
			w.comeTo(m, v.member(m.Replica))
		}
	}
	for i := range before.Members {
		m := &before.Members[i]
		if next.Member(m.Replica) != nil {
			continue
		}
		w.counts.CopiesDropped++
		if v.placement == nil || v.placement.Wants(m.Replica) {
			w.fail("placement", "epoch %d of %s does not list the copy on %s any more, which is wanted", next.Epoch, v.name, w.bodyOf(m.Node).name)
		}
		for _, at := range v.placement.Copies {
			if o := next.Member(at.Replica); m.State == volume.InSync && (o == nil || o.State != volume.InSync) {
				w.fail("placement", "epoch %d of %s drops the copy on %s, before all that are wanted are in sync", next.Epoch, v.name, w.bodyOf(m.Node).name)
			}
		}
	}
}

// comeTo notes what a copy comes to that was placed on a disk before anybody noticed
// that it is gone or unsound.
func (w *World) comeTo(m *volume.Member, state *memberState) {
	drives := w.bodyOf(m.Node).drives
	i := slices.IndexFunc(drives, func(d *drive) bool { return d.id == m.Disk })
	if state.gone = i < 0; !state.gone {
		state.unsound, state.refused = drives[i].unsound, drives[i].refused
	}
}

// hasDisk reports whether the disk of a copy is there and can be opened.
func (w *World) hasDisk(at *volume.Place) bool {
	b := w.bodyOf(at.Node)
	return b != nil && !b.absent && slices.ContainsFunc(b.drives, func(d *drive) bool { return d.id == at.Disk && !d.refused })
}

// isPlaced reports whether a volume has the copies that are wanted and no others.
// While the disk of a wanted one is gone for ever, those that would go stay. Nothing
// moves where nobody ever asked for it: that its copies come back in sync is judged
// by volumeRecovered alone. What can be moved away from drained nodes is.
func (w *World) isPlaced(v *volumeState) bool {
	if !w.isDrained(v) {
		return false
	}
	if v.placement == nil {
		return true
	}
	wanted := v.placement.Wanted(v.config)
	for i := range wanted {
		if !w.hasDisk(&wanted[i]) {
			return true
		}
	}
	return v.placement.Reached(v.config) && !v.placement.Changing()
}

// settlePlacements waits until what is under way with copies is over, also that of
// disks that were found to be gone only now: else a copy that was dropped might not
// be freed yet.
func (w *World) settlePlacements() {
	if !w.plan.Copies && !w.plan.Drains && w.plan.HealAfter == 0 {
		return
	}
	settled := func() bool {
		return !slices.ContainsFunc(w.volumes, func(v *volumeState) bool { return !v.lost() && !w.isPlaced(v) }) && !w.holdsUnlisted() && w.remembered() == ""
	}
	if w.run(w.now+int64(w.plan.Liveness), settled); !settled() {
		w.fail("liveness", "copies still come and go %v later: %s", w.plan.Liveness, w.missing())
	}
}

// holdsUnlisted reports whether a disk has a copy that its volume does not list.
func (w *World) holdsUnlisted() bool {
	for _, b := range w.bodies {
		for i, s := range b.disks {
			disk, ours := s.machine.(*node.Disk)
			if !ours || !s.ready || b.drives[i].restored || b.drives[i].unsound {
				continue
			}
			for _, info := range disk.Store().Replicas(nil) {
				if v := w.volume(info.Volume); v != nil && v.config.Member(info.Replica) == nil {
					return true
				}
			}
		}
	}
	return false
}

// remembered names a volume that still lists a copy which left, and whose disk is
// there: that was freed long ago. What is deleted lists it elsewhere.
func (w *World) remembered() string {
	for id, p := range w.placements() { // any order: looks for one
		item, found := w.metadata.record(volume.ConfigKey(id))
		if found && !w.parseConfig(item.Value).Tombstone && slices.ContainsFunc(p.Left, func(at volume.Place) bool { return w.hasDisk(&at) }) {
			return id.String()
		}
	}
	return ""
}

// placements returns every recorded placement, by volume.
func (w *World) placements() map[block.VolumeID]*volume.Placement {
	all := map[block.VolumeID]*volume.Placement{}
	for _, item := range w.metadata.records() {
		if id, part, ok := volume.ParseVolumeKey(item.Key); ok && part == "placement" {
			p, err := volume.Parse[volume.Placement](item.Value)
			if err != nil {
				w.fail("records", "a placement: %v", err)
			}
			all[id] = &p
		}
	}
	return all
}
