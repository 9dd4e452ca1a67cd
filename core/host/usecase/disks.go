package usecase

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// Drives makes a file or a device a disk of this node, for good, and forgets it
// again.
type Drives interface {
	Add(d volume.NewDisk) (*diskio.File, error)
	Forget(id block.DiskID) error
}

// Peers are the other nodes, for what they alone can do.
type Peers interface {
	AddDisk(ctx context.Context, node volume.Node, d volume.NewDisk) (volume.DiskReport, error)
	RemoveDisk(ctx context.Context, node volume.Node, id block.DiskID) error
	ScrubDisk(ctx context.Context, node volume.Node, id block.DiskID) (volume.Operation, error)
	// CheckVolume has the copies of a volume compared that the node serves.
	CheckVolume(ctx context.Context, node volume.Node, id block.VolumeID) (volume.Operation, error)
	Operation(ctx context.Context, node volume.Node, id string) (volume.Operation, error)
	Cancel(ctx context.Context, node volume.Node, id string) error
}

// Disks reports all disks, and those of this node that never got a record, by
// node and path.
func (n *Node) Disks(context.Context) ([]volume.DiskReport, error) {
	known := false
	var all []volume.Disk
	var names map[block.NodeID]string
	may := map[block.DiskID]int64{}
	n.p.Host.View(func(o *orchestrator.Orchestrator) {
		known, all, names = o.Known(), o.Disks(), nodeNames(o)
		for i := range all {
			if node, there := o.Node(all[i].Node); there {
				may[all[i].ID] = node.MayPromise(&all[i])
			}
		}
	})
	if !known {
		return nil, n.notReady()
	}
	paths, work := map[block.DiskID]string{}, map[block.DiskID]*volume.DiskWork{}
	for _, own := range n.p.Host.OwnDisks() {
		paths[own.ID], work[own.ID] = own.Path, &own.Work
	}
	scrubs := map[block.DiskID]*volume.DiskScrub{}
	for _, r := range n.p.Host.Scrubs() {
		scrubs[r.Disk] = &r.DiskScrub
	}
	var reports []volume.DiskReport
	for _, d := range n.p.Unusable {
		paths[d.ID] = d.Path
		if d.ID == (block.DiskID{}) {
			reports = append(reports, volume.DiskReport{
				Disk: volume.Disk{Node: n.p.Node.ID, Unusable: d.Reason}, NodeName: n.p.Node.Name, Path: d.Path,
			})
		}
	}
	for _, d := range all {
		reports = append(reports, volume.DiskReport{Disk: d, NodeName: names[d.Node], Path: paths[d.ID], Work: work[d.ID], Scrub: scrubs[d.ID], PromiseMax: may[d.ID]})
	}
	slices.SortStableFunc(reports, func(a, b volume.DiskReport) int {
		return cmp.Or(strings.Compare(a.NodeName, b.NodeName), strings.Compare(a.Path, b.Path))
	})
	return reports, nil
}

// Disk reports one disk, by identity, the beginning of one, or its path here.
func (n *Node) Disk(ctx context.Context, name string) (volume.DiskReport, error) {
	all, err := n.Disks(ctx)
	if err != nil {
		return volume.DiskReport{}, err
	}
	var id block.DiskID
	n.p.Host.View(func(o *orchestrator.Orchestrator) {
		if d, found := o.DiskNamed(name); found {
			id = d.ID
		}
	})
	for i := range all {
		if r := &all[i]; r.ID != (block.DiskID{}) && (r.ID == id || r.Path != "" && r.Path == name) {
			return *r, nil
		}
	}
	return volume.DiskReport{}, orchestrator.NoSuchDisk(name)
}

// AddDisk gives a node a disk while it runs: this one, or another by asking it.
func (n *Node) AddDisk(ctx context.Context, d volume.NewDisk) (volume.DiskReport, error) {
	ctx, cancel := change(ctx)
	defer cancel()
	if d.Node != "" && d.Node != n.p.Node.Name && d.Node != n.p.Node.ID.String() {
		peer, err := n.peer(ctx, d.Node)
		if err != nil {
			return volume.DiskReport{}, err
		}
		d.Node = "" // the one that is asked
		return n.p.Peers.AddDisk(ctx, peer, d)
	}
	file, err := n.p.Drives.Add(d)
	if err != nil {
		return volume.DiskReport{}, err
	}
	n.log.Info("disk was added", slog.String("disk", file.Path), slog.String("id", file.ID.String()))
	n.p.Host.AddDisk(file)
	return n.awaitDisk(ctx, file)
}

// awaitDisk returns the report of a new disk once it is recorded.
func (n *Node) awaitDisk(ctx context.Context, file *diskio.File) (volume.DiskReport, error) {
	for {
		changed := n.p.Host.EventsArrived()
		report, err := n.Disk(ctx, file.ID.String())
		if err == nil {
			return report, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return report, &volume.Error{
				Kind: volume.ErrOutcomeUnknown,
				What: fmt.Sprintf("disk %s was added, but is not recorded yet", file.Path),
				Fix:  "see that a majority of the voting nodes is up; the disk serves as soon as it is recorded:  lagan disk ls",
			}
		}
	}
}

// peer finds another node that can be asked.
func (n *Node) peer(ctx context.Context, name string) (found volume.Node, err error) {
	id, known, err := n.nodeNamed(ctx, name)
	if err != nil {
		return found, err
	}
	there := false
	n.p.Host.View(func(o *orchestrator.Orchestrator) { found, there = o.Node(id) })
	if !there || n.p.Peers == nil {
		return found, &volume.Error{
			Kind: volume.ErrNotReady, What: fmt.Sprintf("node %s cannot be asked", known),
			Fix: "give the command on that node",
		}
	}
	return found, nil
}

// CordonDisk keeps new copies away from a disk, or lets them come again.
func (n *Node) CordonDisk(ctx context.Context, name string, cordoned bool) (volume.DiskReport, error) {
	ctx, cancel := change(ctx)
	defer cancel()
	d, err := n.Disk(ctx, name)
	if err != nil {
		return d, err
	}
	if _, err := n.p.Host.Command(ctx, volume.Command{Kind: volume.CordonDisk, Disk: d.ID, Name: d.ID.String(), Force: !cordoned}); err != nil {
		return d, err
	}
	return n.Disk(ctx, d.ID.String())
}

// RemoveDisk takes a disk out of the cluster that holds no copies. It is cordoned
// first, and stays so if it does hold some.
//
//	cordoned ──▶ no copies: its record goes ──▶ closed ──▶ forgotten by every later start
func (n *Node) RemoveDisk(ctx context.Context, name string) error {
	ctx, cancel := change(ctx)
	defer cancel()
	d, err := n.CordonDisk(ctx, name, true)
	if err != nil {
		return err
	}
	if d.Node != n.p.Node.ID {
		peer, err := n.peer(ctx, d.Node.String())
		if err != nil {
			return err
		}
		return n.p.Peers.RemoveDisk(ctx, peer, d.ID)
	}
	if _, err := n.p.Host.Command(ctx, volume.Command{Kind: volume.RemoveDisk, Disk: d.ID, Name: d.ID.String()}); err != nil {
		return err
	}
	if err := n.p.Drives.Forget(d.ID); err != nil {
		return err
	}
	return n.p.Host.RemoveDisk(ctx, d.ID)
}
