package volume

import (
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
)

// Place is where a copy is, or is to be. Its replica is the copy's own: one that
// is made anew, even on the same disk, is another.
type Place struct {
	Replica block.ReplicaID `json:"replica"`
	Node    block.NodeID    `json:"node"`
	Disk    block.DiskID    `json:"disk"`
	// Heals is the lost copy in whose place this one is made: should that come
	// back before this one is in sync, it stays and this one goes.
	Heals *block.ReplicaID `json:"heals,omitempty"`
}

// Placement says which copies a volume should have. Without one it is those that
// its configuration lists. Orchestrators write it, each time in one transaction
// with what disks promise; the session that serves makes the configuration follow:
//
//	wanted, not listed ──▶ out ──▶ syncing ──▶ in sync
//	not wanted, in sync ──▶ not listed any more, once every wanted copy is in sync
//	not wanted, else ─────▶ not listed any more
//
// A disk promises the volume's size to every copy that is wanted or leaving.
type Placement struct {
	Format int            `json:"format"`
	Volume block.VolumeID `json:"volume"`
	Copies []Place        `json:"copies"` // those that are wanted
	// Leaving are those that are not wanted any more and whose space is still
	// promised: given back once the configuration does not list them.
	Leaving []Place `json:"leaving,omitempty"`
	// Left are those whose space was given back and whose data may still be there:
	// each is listed until the node that has its disk freed it, or that was removed.
	// Nothing waits for it but the end of the volume's records.
	Left []Place `json:"left,omitempty"`
	// MinWritable is how many copies in sync a write needs, which the configuration
	// follows likewise; 0: what that says.
	MinWritable int `json:"minWritable,omitempty"`
	// Before is what was wanted before the change that is under way, for whoever
	// breaks it off; nil if there is none, or it cannot be.
	Before *Former `json:"before,omitempty"`
}

// Former is what was wanted before a change.
type Former struct {
	Copies   []Place `json:"copies"`
	Replicas int     `json:"replicas"` // that the specification asked for
}

// Clone returns a deep copy of p.
func (p *Placement) Clone() *Placement {
	d := *p
	d.Copies, d.Leaving, d.Left = slices.Clone(p.Copies), slices.Clone(p.Leaving), slices.Clone(p.Left)
	if p.Before != nil {
		d.Before = &Former{Copies: slices.Clone(p.Before.Copies), Replicas: p.Before.Replicas}
	}
	return &d
}

// Wants reports whether a copy should be there. p may be nil: whatever is there
// should be.
func (p *Placement) Wants(replica block.ReplicaID) bool {
	return p == nil || slices.ContainsFunc(p.Copies, func(at Place) bool { return at.Replica == replica })
}

// Each calls f for every place where a copy of a volume should be. p may be nil.
func (p *Placement) Each(c *Config, f func(at *Place)) {
	if p != nil {
		for i := range p.Copies {
			f(&p.Copies[i])
		}
		return
	}
	for i := range c.Members {
		m := &c.Members[i]
		f(&Place{Replica: m.Replica, Node: m.Node, Disk: m.Disk})
	}
}

// Wanted returns where the copies of a volume should be. p may be nil.
func (p *Placement) Wanted(c *Config) []Place {
	if p != nil {
		return p.Copies
	}
	places := make([]Place, 0, len(c.Members))
	p.Each(c, func(at *Place) { places = append(places, *at) })
	return places
}

// Promised returns the copies whose space is promised to a volume. p may be nil.
func (p *Placement) Promised(c *Config) []Place {
	if p == nil {
		return p.Wanted(c)
	}
	return slices.Concat(p.Copies, p.Leaving)
}

// Changing reports whether a change of the copies is under way. p may be nil.
func (p *Placement) Changing() bool {
	return p != nil && (len(p.Leaving) > 0 || p.Before != nil || slices.ContainsFunc(p.Copies, func(at Place) bool { return at.Heals != nil }))
}

// Settled returns what p becomes by what a configuration says, and whether that
// differs: copies that are not listed any more have left, and a change that is
// done cannot be broken off.
func (p *Placement) Settled(c *Config) (next *Placement, differs bool) {
	next = p.Clone()
	next.Leaving = nil
	for _, at := range p.Leaving {
		if c.Member(at.Replica) != nil {
			next.Leaving = append(next.Leaving, at)
		} else {
			next.Left = append(next.Left, at)
		}
	}
	inSync := func(replica block.ReplicaID) bool {
		m := c.Member(replica)
		return m != nil && m.State == InSync
	}
	for i := range next.Copies {
		if inSync(next.Copies[i].Replica) {
			next.Copies[i].Heals = nil
		}
	}
	done := len(next.Leaving) == 0 && !slices.ContainsFunc(next.Copies, func(at Place) bool {
		isNew := p.Before != nil && !slices.ContainsFunc(p.Before.Copies, func(o Place) bool { return o.Replica == at.Replica })
		return isNew && !inSync(at.Replica)
	})
	if done {
		next.Before = nil
	}
	return next, len(next.Leaving) < len(p.Leaving) || (next.Before == nil) != (p.Before == nil) || !slices.Equal(next.Copies, p.Copies)
}

// HasLeft reports whether a copy is one that left and was not freed yet. p may be nil.
func (p *Placement) HasLeft(replica block.ReplicaID) bool {
	return p != nil && slices.ContainsFunc(p.Left, func(at Place) bool { return at.Replica == replica })
}

// Drops reports whether a copy is leaving, or has left and was not freed yet. p may be nil.
func (p *Placement) Drops(replica block.ReplicaID) bool {
	return p.HasLeft(replica) || p != nil && slices.ContainsFunc(p.Leaving, func(at Place) bool { return at.Replica == replica })
}

// Unlisted returns the copies that a configuration does not list and whose data may
// still be on a disk. p may be nil.
func (p *Placement) Unlisted(c *Config) []Place {
	if p == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Concat(p.Leaving, p.Left), func(at Place) bool { return c.Member(at.Replica) != nil })
}

// Reached reports whether a configuration lists the wanted copies alone, all of
// them in sync. p may be nil.
func (p *Placement) Reached(c *Config) bool {
	for i := range c.Members {
		if m := &c.Members[i]; m.State != InSync || !p.Wants(m.Replica) {
			return false
		}
	}
	return len(p.Wanted(c)) == len(c.Members)
}

// Check returns an error naming the first rule of a placement that p breaks.
func (p *Placement) Check() error {
	if len(p.Copies) == 0 {
		return fmt.Errorf("placement of volume %v: no copy is wanted", p.Volume)
	}
	promised := len(p.Copies) + len(p.Leaving)
	all := slices.Concat(p.Copies, p.Leaving, p.Left)
	for i := range all {
		if slices.ContainsFunc(all[:i], func(at Place) bool { return at.Replica == all[i].Replica || i < promised && at.Disk == all[i].Disk }) {
			return fmt.Errorf("placement of volume %v: replica %v, or its disk %v, is listed twice", p.Volume, all[i].Replica, all[i].Disk)
		}
	}
	return nil
}
