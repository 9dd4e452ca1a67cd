package host

import (
	"cmp"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/coordinator"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// VolumeFigures is how a volume that is attached here is doing.
type VolumeFigures struct {
	Name     string
	Serving  bool
	Epoch    block.Epoch
	InSync   int          // copies
	Resynced uint64       // bytes sent to copies that were being filled
	Fill     *volume.Fill // of the one that is being filled, nil if none is
	Repaired uint64       // blocks that a copy did not give as written, and that were written anew from another
	Lost     int          // blocks that have no good copy
	Traffic  *Traffic
}

// VolumeFigures returns those of all volumes attached here, by name. A volume's
// lock is held for a few loads and no longer.
func (h *Host) VolumeFigures() []VolumeFigures {
	h.mu.Lock()
	volumes := make([]*Volume, 0, len(h.volumes))
	for _, v := range h.volumes { // any order: they are sorted below
		volumes = append(volumes, v)
	}
	h.mu.Unlock()
	all := make([]VolumeFigures, 0, len(volumes))
	for _, v := range volumes {
		all = append(all, v.figures())
	}
	slices.SortFunc(all, func(a, b VolumeFigures) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (v *Volume) figures() VolumeFigures {
	state, _ := v.State()
	f := VolumeFigures{Name: v.name, Serving: state.Serving, Traffic: &v.traffic}
	v.shard.mu.Lock()
	machine := v.shard.machine.(*coordinator.Coordinator)
	config := machine.Config()
	f.Resynced, f.Fill = machine.Resynced(), fillOf(machine)
	f.Repaired, f.Lost = machine.Damage()
	v.shard.mu.Unlock()
	f.Epoch, f.InSync = config.Epoch, config.Count(volume.InSync)
	return f
}

// Fill returns how far the copy is that is being filled, nil if none is.
func (v *Volume) Fill() *volume.Fill {
	v.shard.mu.Lock()
	defer v.shard.mu.Unlock()
	return fillOf(v.shard.machine.(*coordinator.Coordinator))
}

func fillOf(c *coordinator.Coordinator) *volume.Fill {
	fill, filling := c.Fill()
	if !filling {
		return nil
	}
	return &fill
}

// DiskFigures is how a disk of this node is doing.
type DiskFigures struct {
	volume.Disk // as recorded; zero but for Node, ID and Unusable if it has no record
	Path        string
	Open        bool    // its store is open
	JournalFill float64 // of an open one, 0 to 1
	Work        volume.DiskWork
	Scrub       ScrubReport
}

// DiskFigures returns those of this node's disks, the ones that cannot be used
// included. A disk's lock is held for a few loads and no longer.
func (h *Host) DiskFigures() (all []DiskFigures) {
	h.View(func(o *orchestrator.Orchestrator) {
		for _, d := range o.Disks() {
			if d.Node == h.params.Node.ID {
				all = append(all, DiskFigures{Disk: d, Path: h.diskPath(d.ID)})
			}
		}
	})
	for _, u := range h.params.Unusable {
		if !slices.ContainsFunc(all, func(f DiskFigures) bool { return f.ID == u.ID }) {
			all = append(all, DiskFigures{Disk: volume.Disk{ID: u.ID, Node: h.params.Node.ID, Unusable: u.Reason}, Path: u.Path})
		}
	}
	for _, own := range h.OwnDisks() {
		if i := slices.IndexFunc(all, func(f DiskFigures) bool { return f.ID == own.ID }); i >= 0 {
			all[i].Work = own.Work
		}
	}
	for _, r := range h.scrubs.reports() {
		for i := range all {
			if all[i].ID == r.Disk {
				all[i].Scrub = r
			}
		}
	}
	for i := range all {
		if s := h.diskShard(all[i].ID); s != nil {
			all[i].Open, all[i].JournalFill = s.journalFill()
		}
	}
	return all
}

// Usage returns the space that a copy on a disk of this node takes, and that of
// those of its snapshots which are counted. The disk's lock is held for a look at
// its layers, which are in memory.
func (h *Host) Usage(disk block.DiskID, copied block.ReplicaID) (whole volume.Usage, snapshots map[block.LayerID]volume.Usage, known bool) {
	s := h.diskShard(disk)
	if s == nil {
		return whole, nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.machine.(*node.Disk).Usage(copied)
}

func (s *shard) journalFill() (open bool, fill float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	machine := s.machine.(*node.Disk)
	if _, open = machine.ID(); open {
		fill = float64(machine.Store().Pressure()) / 255
	}
	return open, fill
}
