package orchestrator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// The parts of a disk that are used when somebody should think of another one,
// and when there is no time left to think.
const (
	fillingPercent    = 80
	nearlyFullPercent = 90
)

// votersWanted is how many nodes should vote in the metadata store: the fewest of
// which one may fail.
const votersWanted = 3

// Recorded is what alerts are made from: what one node knows of the cluster.
type Recorded struct {
	Nodes   []NodeStatus
	Disks   []volume.Disk
	Volumes []VolumeStatus
	Removed map[block.NodeID]string // names of nodes that were removed
	Voters  []block.NodeID          // none: not known, or others run the metadata store
	// Differing is how many blocks checks by this node found not the same on all copies.
	Differing map[block.VolumeID]uint64

	byID map[block.NodeID]*NodeStatus // of Nodes: a volume is asked about each of its copies
}

// Recorded returns what alerts are made from, but for who votes.
func (o *Orchestrator) Recorded() Recorded {
	return Recorded{Nodes: o.Nodes(), Disks: o.Disks(), Volumes: o.Volumes(), Removed: o.view.RemovedNames()}
}

// Alerts returns what someone must act on: the same records give the same list,
// by code and subject.
func Alerts(r *Recorded) []volume.Alert {
	var all []volume.Alert
	r.byID = make(map[block.NodeID]*NodeStatus, len(r.Nodes))
	for i := range r.Nodes {
		r.byID[r.Nodes[i].ID] = &r.Nodes[i]
	}
	for i := range r.Nodes {
		all = append(all, r.ofNode(&r.Nodes[i])...)
	}
	for i := range r.Disks {
		all = append(all, r.ofDisk(&r.Disks[i])...)
	}
	for i := range r.Volumes {
		all = append(all, r.ofVolume(&r.Volumes[i])...)
	}
	all = append(all, r.ofVoters()...)
	all = append(all, r.ofHealing()...)
	slices.SortStableFunc(all, func(a, b volume.Alert) int {
		return cmp.Or(strings.Compare(a.Code, b.Code), strings.Compare(a.Subject, b.Subject))
	})
	return all
}

// name is what people call a node.
func (r *Recorded) name(id block.NodeID) string {
	if n := r.node(id); n != nil && n.Name != "" {
		return n.Name
	}
	return cmp.Or(r.Removed[id], id.String())
}

func (r *Recorded) node(id block.NodeID) *NodeStatus { return r.byID[id] }

// silent reports whether a node is not heard from. One that is not recorded was
// removed.
func (r *Recorded) silent(id block.NodeID) bool {
	n := r.node(id)
	return n != nil && !n.Alive
}

func (r *Recorded) ofNode(n *NodeStatus) []volume.Alert {
	if n.Alive {
		return nil
	}
	text := fmt.Sprintf("node %s is not heard from", n.Name)
	if n.Silent > 0 {
		text += fmt.Sprintf(" for %d s", n.Silent/time.Second)
	}
	if n.Spec.Maintained != "" {
		text += ", and is in maintenance until " + n.Spec.Maintained
	}
	return []volume.Alert{{
		Code: "node-silent", Subject: n.Name, Text: text,
		Fix: fmt.Sprintf("start it again with  lagan up;  if it is gone for good:  lagan node rm %s", n.Name),
	}}
}

func (r *Recorded) ofDisk(d *volume.Disk) (all []volume.Alert) {
	add := func(code, text, fix string) {
		all = append(all, volume.Alert{Code: code, Subject: d.ID.String(), Text: fmt.Sprintf("disk %v of node %s %s", d.ID, r.name(d.Node), text), Fix: fix})
	}
	if d.Unusable != "" {
		add("disk-unusable", "cannot be used: "+d.Unusable, "see to the disk and start the node again; copies on it are filled from others")
		return all
	}
	if d.Ailing != "" {
		add("disk-ailing", "is not well: "+d.Ailing, "look at the kernel's log on that node, replace the disk before it fails, and start the node again; until then it gets no new copies")
	}
	switch used := percentOf(d.Capacity-d.Free, d.Capacity); {
	case used >= nearlyFullPercent:
		add("disk-nearly-full", fmt.Sprintf("is %d %% full: when it is full, copies on it fall behind", used), "delete volumes, or give the node another disk")
	case used >= fillingPercent:
		add("disk-filling", fmt.Sprintf("is %d %% full", used), "delete volumes, or give the node another disk")
	}
	if d.Promised > d.Capacity {
		add("disk-over-promised", overPromised(d), "delete volumes, or add a disk, before they are full")
	}
	return all
}

func overPromised(d *volume.Disk) string {
	return fmt.Sprintf("has %s and %s are promised to volumes", volume.RoundSize(d.Capacity), volume.RoundSize(d.Promised))
}

func percentOf(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return part * 100 / whole
}

func (r *Recorded) ofVolume(s *VolumeStatus) []volume.Alert {
	health, reason := s.Health(r.name)
	name := cmp.Or(s.Spec.Name, s.Volume.String())
	alert := volume.Alert{Code: "volume-" + string(health), Subject: name, Fix: "look at:  lagan volume inspect " + name}
	all := r.ofHealth(s, alert, health, reason, name)
	if s.Here.Lost > 0 {
		all = append(all, volume.Alert{
			Code: "volume-damaged", Subject: name,
			Text: fmt.Sprintf("volume %s: no copy in sync has %s as written; reading them fails", name, countOf(s.Here.Lost, "block")),
			Fix:  "overwrite what they belong to (restore the files from a backup), and see to the disks that failed:  lagan events",
		})
	}
	if blocks := r.Differing[s.Volume]; blocks > 0 && !s.Deleting {
		all = append(all, volume.Alert{
			Code: "copies-differ", Subject: name,
			Text: fmt.Sprintf("volume %s: %s on all copies, and what is read depends on which one answers", name, NotTheSame(blocks)),
			Fix:  "see where with  lagan operation ls;  " + RemedyOf(name),
		})
	}
	return all
}

func (r *Recorded) ofHealth(s *VolumeStatus, alert volume.Alert, health volume.Health, reason, name string) []volume.Alert {
	switch health {
	case volume.Healthy:
		return nil
	case volume.Deleting:
		return r.ofDeletion(s, name)
	case volume.Degraded:
		alert.Text = fmt.Sprintf("volume %s has fewer copies in sync than asked for: %s", name, reason)
		alert.Fix = "see that the nodes with its copies are up; copies that are out are filled then, and lost ones made anew where there is room"
	case volume.Stalled:
		alert.Text = fmt.Sprintf("requests to volume %s wait: %s", name, reason)
	case volume.Unreadable:
		alert.Text = fmt.Sprintf("a record of volume %s cannot be read: %s", name, reason)
		alert.Fix = "upgrade this node, or restore the metadata store from a backup"
	}
	return []volume.Alert{alert}
}

// ofDeletion speaks of copies that wait for a node that is away: the disk they
// are on goes on holding their data.
func (r *Recorded) ofDeletion(s *VolumeStatus, name string) (all []volume.Alert) {
	if s.Config == nil {
		return nil
	}
	for i := range s.Config.Members {
		m := &s.Config.Members[i]
		if r.silent(m.Node) {
			node := r.name(m.Node)
			all = append(all, volume.Alert{
				Code: "deletion-waiting", Subject: name,
				Text: fmt.Sprintf("deleted volume %s still has a copy on node %s, which is not heard from", name, node),
				Fix:  fmt.Sprintf("start node %s again, and it frees the copy;  if it is gone for good:  lagan node rm %s", node, node),
			})
		}
	}
	return all
}

// ofHealing says that no copies are made anew because too many nodes are silent.
func (r *Recorded) ofHealing() []volume.Alert {
	silent := 0
	for i := range r.Nodes {
		if !r.Nodes[i].Alive {
			silent++
		}
	}
	if silent < 2 || !tooManySilent(silent, len(r.Nodes)) { // a single one is told of already
		return nil
	}
	return []volume.Alert{{
		Code: "healing-stopped", Subject: "cluster",
		Text: fmt.Sprintf("%d of %d nodes are not heard from, more than a third: copies on them are not made anew elsewhere", silent, len(r.Nodes)),
		Fix:  "see what they have in common (power, network), and start them again;  those that are gone for good:  lagan node rm NAME",
	}}
}

// ofVoters says what it means that fewer nodes vote, or are heard from, than it
// takes to lose one.
func (r *Recorded) ofVoters() []volume.Alert {
	if len(r.Voters) == 0 {
		return nil
	}
	var names, away []string
	for _, id := range r.Voters {
		names = append(names, r.name(id))
		if r.silent(id) {
			away = append(away, r.name(id))
		}
	}
	slices.Sort(names)
	slices.Sort(away)
	alert := volume.Alert{Code: "voters-few", Subject: "metadata store"}
	const stands = "volumes that are attached go on, but none can be created, attached or deleted"
	switch n := len(r.Voters); {
	case len(away) > 0:
		alert.Code = "voters-silent"
		alert.Text = fmt.Sprintf("of the %d nodes that vote in the metadata store, %s cannot be heard: if another one fails, %s", n, strings.Join(away, " and "), stands)
		alert.Fix = fmt.Sprintf("start it again with  lagan up;  if it is gone for good:  lagan node rm %s", away[0])
	case n >= votersWanted:
		return nil
	case n == 1 && len(r.Nodes) == 2:
		alert.Text = fmt.Sprintf("two nodes have no quorum without the first: while node %s is away %s", names[0], stands)
	case n == 1:
		alert.Text = fmt.Sprintf("only node %s votes in the metadata store: while it is away %s", names[0], stands)
	default:
		alert.Text = fmt.Sprintf("only nodes %s vote in the metadata store: while either is away %s", strings.Join(names, " and "), stands)
	}
	if alert.Fix == "" {
		alert.Fix = fmt.Sprintf("add nodes until there are %d:  lagan token create", votersWanted)
	}
	return []volume.Alert{alert}
}
