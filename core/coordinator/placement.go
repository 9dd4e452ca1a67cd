package coordinator

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// placement is where the volume's copies should be, as this session knows it.
// Copies come and go with it by changes of the configuration that it guards: one
// whose promise of space was given back meanwhile is never added, and one that is
// wanted again never dropped.
type placement struct {
	record   *volume.Placement // newest known; nil: what the configuration lists
	revision metadata.Revision // of record
	proposed metadata.Revision // by which the change under way was proposed
}

// onPlacement takes a placement from the watch. It may be older than what this
// session knows.
func (c *Coordinator) onPlacement(record *volume.Placement, revision metadata.Revision, out *step.Effects) {
	if record == nil || revision <= c.placement.revision {
		return
	}
	c.placement.record, c.placement.revision = record, revision
	c.reconfigure(out)
}

// readPlacement takes it from a transaction that read it.
func (c *Coordinator) readPlacement(res *metadata.Result) {
	item, found := res.Find(volume.PlacementKey(c.p.Volume))
	if !found || item.Revision <= c.placement.revision {
		return
	}
	if record, err := volume.Parse[volume.Placement](item.Value); err == nil {
		c.placement.record, c.placement.revision = &record, item.Revision
	}
}

// missingPlaces returns the wanted copies that are no members.
func (c *Coordinator) missingPlaces() (missing []volume.Place) {
	if c.phase != serving || c.placement.record == nil {
		return nil
	}
	for _, at := range c.placement.record.Copies {
		if c.config.Member(at.Replica) == nil {
			missing = append(missing, at)
		}
	}
	return missing
}

// wantedMinWritable returns how many copies in sync a write is to need.
func (c *Coordinator) wantedMinWritable() int {
	if c.phase != serving || c.placement.record == nil || c.placement.record.MinWritable == 0 {
		return c.config.MinWritable
	}
	return c.placement.record.MinWritable
}

// unwanted reports whether m is to go. One in whose place another is made may
// still come back, until that is in sync.
func (c *Coordinator) unwanted(m *member) bool {
	if c.phase != serving || c.placement.record.Wants(m.Replica) {
		return false
	}
	return !slices.ContainsFunc(c.placement.record.Copies, func(at volume.Place) bool {
		made := c.config.Member(at.Replica)
		return at.Heals != nil && *at.Heals == m.Replica && (made == nil || made.State != volume.InSync)
	})
}

// dispensable reports whether the volume can do without the copies that are not
// wanted: every one that is holds everything and answers.
func (c *Coordinator) dispensable(out *step.Effects) bool {
	for _, at := range c.placement.record.Copies {
		m := findMember(c.members, at.Replica)
		switch {
		case m != nil && c.fine(m):
		case removeEarly && m != nil:
			out.Marks.Hit("mutant: remove early")
		default:
			return false
		}
	}
	return !removeEarly || c.config.Count(volume.InSync) > 1
}

// sameReplicas reports whether two configurations list the same copies.
func sameReplicas(a, b *volume.Config) bool {
	return slices.EqualFunc(a.Members, b.Members, func(x, y volume.Member) bool { return x.Replica == y.Replica })
}

// newlyMade reports whether m has never held anything.
func (m *member) newlyMade() bool { return m.promise.LastAccepted == block.Position{} }
