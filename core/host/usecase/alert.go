package usecase

import (
	"context"
	"fmt"

	"github.com/lagan-storage/lagan/core/volume"
)

// Alerts returns what someone must act on, as far as this node knows it.
func (n *Node) Alerts(ctx context.Context) ([]volume.Alert, error) {
	volumes, err := n.Volumes(ctx)
	if err != nil {
		return nil, err
	}
	var alerts []volume.Alert
	for i := range volumes {
		if r := &volumes[i]; r.Health == volume.Degraded || r.Health == volume.Stalled || r.Health == volume.Unreadable {
			alerts = append(alerts, volume.Alert{
				Code: "volume-" + string(r.Health), Subject: r.Spec.Name, Text: r.Reason,
				Fix: "look at:  lagan volume inspect " + r.Spec.Name,
			})
		}
	}
	return alerts, nil
}

// RemoveNode is not there yet: it refuses.
func (n *Node) RemoveNode(_ context.Context, name string) error {
	return &volume.Error{
		Kind: volume.ErrUnsupportedOption,
		What: fmt.Sprintf("cannot remove node %q: this version removes no nodes", name),
		Fix:  "upgrade",
	}
}
