// Package placement chooses the disks on which the replicas of a volume will
// live, all of a new one or some more of one that is there. It is a pure function
// of what is recorded: the same records give the same choice, with a reason for
// every node, chosen or not. Its caller is the orchestrator, which guards what it
// read when it writes the result down.
//
//	nodes ──▶ allowed by the specification? ──▶ heard from? ──▶ room on one disk? ──▶ ranked ──▶ the first ones
//	                    │ no                        │ no              │ no              │ too low
//	                    ▼                           ▼                 ▼                 ▼
//	                                         a reason in words
//
// Volumes are thin. A disk has room while the sizes promised to volumes on it
// fit its capacity, so that no volume can run out of space later, and while
// that much is really free. Where no disk of a node has room in that sense, one on
// which the volume's size is really free takes it all the same, after all others
// and with a warning: it promises more than it has. How much more is limited: each
// node says up to how many times what its disks have.
package placement

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// Node is a node with its disks, as far as they are recorded.
type Node struct {
	volume.Node
	Alive  bool
	Silent time.Duration // how long a node that is not alive has not been heard from; 0: unknown
	Disks  []volume.Disk
	Spec   volume.NodeSpec // what people asked of it
}

// Plan is a choice.
type Plan struct {
	Replicas int           // how many were asked for, or are the default
	Disks    []volume.Disk // one a replica, on distinct nodes; empty if there are too few
	Reasons  []string      // a line for every node, by name
	Warnings []string      // a line for every chosen disk that promises more than it has
	Fitting  int           // how many nodes could take a replica
}

// ByNode returns the reasons by the names of nodes.
func (p *Plan) ByNode() map[string]string {
	all := make(map[string]string, len(p.Reasons))
	for _, line := range p.Reasons {
		name, reason, _ := strings.Cut(strings.TrimPrefix(line, "node "), ": ")
		all[name] = reason
	}
	return all
}

// candidate is what became of one node.
type candidate struct {
	node   *Node
	disk   volume.Disk
	room   int64
	over   bool   // it promises more than it has
	refuse string // why it can take no replica
	chosen bool
}

// Place plans the replicas of a volume that s specifies; its size is set. The
// order of nodes and disks does not matter.
func Place(s *volume.Spec, nodes []Node) Plan { return Add(s, nodes, nil, replicas(s, nodes)) }

// Add plans that many replicas of a volume beside those that it has: on other
// nodes and, as far as may be, in other zones.
func Add(s *volume.Spec, nodes []Node, held []volume.Place, replicas int) Plan {
	candidates := make([]candidate, 0, len(nodes))
	for i := range nodes {
		candidates = append(candidates, judge(s, &nodes[i], held))
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(b.room, a.room), compareID(a.node.ID, b.node.ID))
	})
	plan := Plan{Replicas: replicas}
	for i := range candidates {
		if candidates[i].refuse == "" {
			plan.Fitting++
		}
	}
	if plan.Fitting >= plan.Replicas {
		plan.Disks = choose(candidates, plan.Replicas, zonesOf(nodes, held))
	}
	plan.Reasons = explain(s, candidates)
	for _, c := range candidates {
		if c.chosen && c.over {
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("disk %v of node %s has %s, and %s are promised to volumes with this one: add a disk, or delete volumes, before they are full",
				c.disk.ID, c.node.Name, volume.RoundSize(c.disk.Capacity), volume.RoundSize(c.disk.Promised+s.Size)))
		}
	}
	return plan
}

// replicas is how many copies there will be. The default counts nodes with
// disks whether or not they are heard from: losing a node must not quietly
// make new volumes of one copy.
func replicas(s *volume.Spec, nodes []Node) int {
	if s.Replicas > 0 {
		return s.Replicas
	}
	n := 0
	for i := range nodes {
		if len(nodes[i].Disks) > 0 {
			n++
		}
	}
	return max(1, min(n, volume.ReplicasDefaultMax))
}

// judge finds a node's best disk, or says why it can take no replica.
func judge(s *volume.Spec, n *Node, held []volume.Place) candidate {
	c := candidate{node: n, room: -1}
	if slices.ContainsFunc(held, func(at volume.Place) bool { return at.Node == n.ID }) {
		c.refuse = "it has a copy"
		return c
	}
	if c.refuse = Forbidden(s, &n.Node); c.refuse != "" {
		return c
	}
	if c.refuse = n.Spec.Avoid(); c.refuse != "" {
		return c
	}
	if !n.Alive {
		c.refuse = "not heard from"
		if n.Silent > 0 {
			c.refuse = fmt.Sprintf("not heard from for %d s", int64(n.Silent/time.Second))
		}
		return c
	}
	if len(n.Disks) == 0 {
		c.refuse = "it has no disk"
		return c
	}
	avoided := ""
	for _, d := range slices.SortedFunc(slices.Values(n.Disks), func(a, b volume.Disk) int { return compareID(a.ID, b.ID) }) {
		if why := d.Avoid(); why != "" {
			avoided = cmp.Or(avoided, fmt.Sprintf("disk %v %s", d.ID, why))
			continue
		}
		if room := Room(&d); room > c.room {
			c.disk, c.room = d, room
		}
	}
	switch {
	case c.room < 0:
		c.refuse = avoided
	case c.room < s.Size:
		c.overPromise(s)
	}
	return c
}

// rank orders candidates before their room does.
func (c *candidate) rank() int {
	if c.over {
		return 1
	}
	return 0
}

// overPromise takes the disk on which most is really free, of those that may promise
// more, if that is enough.
func (c *candidate) overPromise(s *volume.Spec) {
	limited := ""
	for _, d := range slices.SortedFunc(slices.Values(c.node.Disks), func(a, b volume.Disk) int { return compareID(a.ID, b.ID) }) {
		free := min(d.Capacity, d.Free)
		switch {
		case d.Avoid() != "":
		case free >= s.Size && d.Promised+s.Size > c.node.MayPromise(&d):
			limited = cmp.Or(limited, TooMuchPromised(&c.node.Node, &d, s.Size))
		case free > c.room || free == c.room && compareID(d.ID, c.disk.ID) < 0:
			c.disk, c.room = d, free
		}
	}
	if c.over = c.room >= s.Size; !c.over {
		c.refuse = cmp.Or(limited, fmt.Sprintf("%s free, %s needed", volume.RoundSize(c.room), volume.RoundSize(s.Size)))
	}
}

// TooMuchPromised says that a disk of a node may not promise more bytes, although they
// are free.
func TooMuchPromised(n *volume.Node, d *volume.Disk, more int64) string {
	may := n.MayPromise(d)
	return fmt.Sprintf("disk %v promises %s to volumes and may promise %s, %d %% of what it has (--promise-max): %s needed",
		d.ID, volume.RoundSize(d.Promised), volume.RoundSize(may), may*100/max(1, d.Capacity), volume.RoundSize(more))
}

// Room is how large a volume the disk could take: what is promised to no
// volume, and not more than what is free.
func Room(d *volume.Disk) int64 { return max(0, min(d.Capacity-d.Promised, d.Free)) }

// Forbidden says which constraint of s excludes n, or nothing.
func Forbidden(s *volume.Spec, n *volume.Node) string {
	if len(s.Nodes) > 0 && !slices.Contains(s.Nodes, n.Name) && !slices.Contains(s.Nodes, n.ID.String()) {
		return "not among the nodes asked for"
	}
	if len(s.Zones) > 0 && !slices.Contains(s.Zones, n.Zone) {
		return fmt.Sprintf("in zone %q, asked for %s", n.Zone, strings.Join(s.Zones, " or "))
	}
	for _, key := range slices.Sorted(maps.Keys(s.Labels)) {
		if n.Labels[key] != s.Labels[key] {
			return fmt.Sprintf("it has no label %s=%s", key, s.Labels[key])
		}
	}
	return ""
}

// zonesOf counts replicas by zone.
func zonesOf(nodes []Node, held []volume.Place) map[string]int {
	taken := map[string]int{}
	for _, at := range held {
		if i := slices.IndexFunc(nodes, func(n Node) bool { return n.ID == at.Node }); i >= 0 {
			taken[nodes[i].Zone]++
		}
	}
	return taken
}

// choose takes the wanted number of candidates, ordered by room: each from a
// zone with the fewest so far, of which taken has some already, and among those
// the one with the most room.
func choose(candidates []candidate, wanted int, taken map[string]int) []volume.Disk {
	var disks []volume.Disk
	for len(disks) < wanted {
		var best *candidate
		for i := range candidates {
			c := &candidates[i]
			if c.refuse != "" || c.chosen {
				continue
			}
			if best == nil || taken[c.node.Zone] < taken[best.node.Zone] {
				best = c
			}
		}
		best.chosen = true
		taken[best.node.Zone]++
		disks = append(disks, best.disk)
	}
	return disks
}

func explain(s *volume.Spec, candidates []candidate) []string {
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(strings.Compare(a.node.Name, b.node.Name), compareID(a.node.ID, b.node.ID))
	})
	var reasons []string
	for _, c := range candidates {
		why := c.refuse
		switch {
		case c.chosen:
			why = fmt.Sprintf("chosen, %s free on disk %v", volume.RoundSize(c.room), c.disk.ID)
			if c.over {
				why += ", which promises more than it has"
			}
		case why == "":
			why = fmt.Sprintf("%s free, not needed", volume.RoundSize(c.room))
		}
		reasons = append(reasons, fmt.Sprintf("node %s: %s", c.node.Name, why))
	}
	for _, name := range s.Nodes {
		if !slices.ContainsFunc(candidates, func(c candidate) bool { return name == c.node.Name || name == c.node.ID.String() }) {
			reasons = append(reasons, fmt.Sprintf("node %s: there is no such node", name))
		}
	}
	return reasons
}

// compareID orders identities of one kind.
func compareID[T block.NodeID | block.DiskID | block.VolumeID](a, b T) int {
	x, y := block.ID(a), block.ID(b)
	return slices.Compare(x[:], y[:])
}
