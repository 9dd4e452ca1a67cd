package usecase

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// checkPrefix begins the identities of the operations that compare the copies of a
// volume. Its identity follows, and the name of the node that alone knows of it.
const checkPrefix = "check-"

// CheckVolume has the copies of a volume compared by the node that serves it: this
// one, or, unless it must be here, another by asking it. A check under way goes on.
func (n *Node) CheckVolume(ctx context.Context, name string, here bool) (volume.Operation, error) {
	ctx, cancel := change(ctx)
	defer cancel()
	status, err := n.find(ctx, name)
	if err != nil {
		return volume.Operation{}, err
	}
	switch at := status.Attachment; {
	case status.Config != nil && len(status.Config.Members) < 2:
		return volume.Operation{}, singleCopy(status.Spec.Name)
	case status.AttachedTo == "":
		return volume.Operation{}, &volume.Error{
			Kind: volume.ErrNotAttached,
			What: fmt.Sprintf("cannot check volume %q: it is attached to no node, and the node that serves a volume compares its copies", status.Spec.Name),
			Fix:  fmt.Sprintf("attach it, check it, and detach it again:  lagan volume attach %s --no-device", status.Spec.Name),
		}
	case at.Node != n.p.Node.ID && !here:
		peer, err := n.peer(ctx, at.Node.String())
		if err != nil {
			return volume.Operation{}, err
		}
		return n.p.Peers.CheckVolume(ctx, peer, status.Volume)
	}
	v, _, err := n.attachedHere(ctx, name)
	if err != nil {
		return volume.Operation{}, err
	}
	if state, _ := v.State(); !state.Serving {
		return volume.Operation{}, &volume.Error{
			Kind: volume.ErrNotServed,
			What: fmt.Sprintf("cannot check volume %q: it is attached to node %s, but not served yet", status.Spec.Name, n.p.Node.Name),
			Fix:  "see what it waits for, and try again then:  lagan volume inspect " + status.Spec.Name,
		}
	}
	report, err := n.p.Host.StartComparison(v)
	if err != nil {
		return volume.Operation{}, err
	}
	return n.checkOperation(&report), nil
}

func singleCopy(name string) error {
	return &volume.Error{
		Kind: volume.ErrSingleCopy,
		What: fmt.Sprintf("cannot check volume %q: it has one copy, and nothing to compare it with", name),
		Fix:  fmt.Sprintf("add a copy:  lagan replica add %s;  or have the disk read that has it:  lagan disk scrub ID", name),
	}
}

// checks reports the checks by this node, those included that are over.
func (n *Node) checks() (all []volume.Operation) {
	for _, r := range n.p.Host.Comparisons() {
		all = append(all, n.checkOperation(&r))
	}
	return all
}

// checksToList reports those that are under way, or did not find that copies are equal.
func (n *Node) checksToList() (all []volume.Operation) {
	for _, o := range n.checks() {
		if !o.Over {
			all = append(all, o)
		}
	}
	return all
}

func (n *Node) checkOperation(r *host.ComparisonReport) volume.Operation {
	const chunk = block.Size * block.PerChunk
	o := volume.Operation{
		ID: checkPrefix + r.Volume.String() + "-" + n.p.Node.Name, Kind: volume.CheckOperation, Volume: r.Volume.String(), Node: n.p.Node.Name,
		Since: r.Began.UTC().Format(time.RFC3339), Done: int64(r.Done) * chunk, Total: int64(r.Total) * chunk, Cancellable: true,
		Failed: r.Broken != "" || !r.Going && r.Blocks > 0,
	}
	o.Over = !r.Going && !o.Failed
	n.p.Host.View(func(view *orchestrator.Orchestrator) {
		if status, found := view.Volume(o.Volume); found && status.Spec.Name != "" {
			o.Volume = status.Spec.Name
		}
		o.Differences = view.Differences(r.Volume, &r.Comparison)
	})
	o.Reason = strings.Join(findings(r, o.Volume), "; ")
	return o
}

// findings says in words how a check goes, or went.
func findings(r *host.ComparisonReport, name string) (said []string) {
	if r.Going && r.Waits != "" {
		said = append(said, "waits: "+r.Waits)
	}
	if r.Broken != "" {
		said = append(said, fmt.Sprintf("it did not come to its end: %s: give the command again:  lagan volume check %s", r.Broken, name))
	}
	if r.Blocks > 0 {
		said = append(said, fmt.Sprintf("%s on all copies, and nothing was changed: %s", orchestrator.NotTheSame(r.Blocks), orchestrator.RemedyOf(name)))
	}
	if r.Damaged > 0 {
		said = append(said, fmt.Sprintf("chunks that a copy could not read, and that are repaired from another: %d; check again when they are (lagan events)", r.Damaged))
	}
	return said
}

// keeperOfCheck names the node that knows of a check.
func keeperOfCheck(id string) (node string, check bool) {
	text, check := strings.CutPrefix(id, checkPrefix)
	of, node, _ := strings.Cut(text, "-")
	var v block.VolumeID
	return node, check && node != "" && v.UnmarshalText([]byte(of)) == nil
}

// cancelCheck ends a check by this node, or forgets what came of it.
func (n *Node) cancelCheck(id string) {
	for _, r := range n.p.Host.Comparisons() {
		if n.checkOperation(&r).ID == id {
			n.p.Host.CancelComparison(r.Volume)
		}
	}
}
