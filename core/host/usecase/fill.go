package usecase

import (
	"context"
	"time"

	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// fillWithin is how long another node is asked how far a copy is: who looks at a
// volume wants to see the rest of it meanwhile.
const fillWithin = time.Second

// addFill says of a volume's copy that is being filled how far it is. The session that
// fills it knows, here or on the node that has the volume attached.
func (n *Node) addFill(ctx context.Context, s *orchestrator.VolumeStatus, r *volume.Report) {
	for i := range r.Copies {
		c := &r.Copies[i]
		if c.State != volume.Syncing || s.Attachment == nil {
			continue
		}
		if v, here := n.p.Host.Volume(s.Volume); here {
			if fill := v.Fill(); fill != nil && fill.Replica == c.Replica {
				c.Fill = fill
			}
			continue
		}
		c.Fill = n.fillElsewhere(ctx, s, c)
	}
}

func (n *Node) fillElsewhere(ctx context.Context, s *orchestrator.VolumeStatus, c *volume.Copy) *volume.Fill {
	there := s.Attachment.Node
	heard := false
	n.p.Host.View(func(o *orchestrator.Orchestrator) { heard = o.HeardFrom(there) })
	if !heard || there == n.p.Node.ID {
		return nil
	}
	peer, err := n.peer(ctx, there.String())
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fillWithin)
	defer cancel()
	o, err := n.p.Peers.Operation(ctx, peer, orchestrator.ResyncPrefix+c.Replica.String())
	if err != nil || o.Total == 0 {
		return nil // it is over, or the volume was just moved
	}
	return &volume.Fill{Replica: c.Replica, Done: o.Done, Total: o.Total, Rate: o.Rate, Left: o.Left}
}

// fills adds how far the copies are that this node fills: to their resyncs, and to the
// changes of copies that wait for them.
func (n *Node) fills(all []volume.Operation) {
	var figures []host.VolumeFigures
	for i := range all {
		o := &all[i]
		if o.Kind != volume.ResyncOperation && o.Kind != volume.ReplicasOperation {
			continue
		}
		if figures == nil {
			figures = n.p.Host.VolumeFigures()
		}
		for _, f := range figures {
			if f.Name != o.Volume || f.Fill == nil || o.Kind == volume.ResyncOperation && o.ID != orchestrator.ResyncPrefix+f.Fill.Replica.String() {
				continue
			}
			o.Done, o.Total, o.Rate, o.Left = f.Fill.Done, f.Fill.Total, f.Fill.Rate, f.Fill.Left
		}
	}
}
