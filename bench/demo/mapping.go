package demo

import (
	"context"
	"encoding/json"
	"fmt"
)

// mapped returns nil when the cluster's record says, on every node that is up,
// that this node has the volume, for one container: the one that was started.
func (d *demo) mapped(ctx context.Context, node string) error {
	if d.p.Kind != Containers {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, openMax)
	defer cancel()
	for _, name := range []string{"a", "b", "c"} {
		n := d.cluster.Node(name)
		if !n.Running() {
			continue
		}
		what := fmt.Sprintf("node %s knows that container %s on node %s uses the volume", name, containerName, node)
		err := d.cluster.Until(bounded, what, func() (bool, error) {
			text, err := n.Lagan(bounded, nil, "volume", "inspect", volumeName, "--output", "json")
			if err != nil {
				return false, err
			}
			var volume struct {
				Status struct {
					Attachment struct {
						Node  string
						Users []struct{ Container string }
					}
				}
			}
			if err := json.Unmarshal(text, &volume); err != nil {
				return false, err
			}
			is := volume.Status.Attachment
			if is.Node == node && len(is.Users) == 1 && is.Users[0].Container == containerName {
				return true, nil
			}
			return false, fmt.Errorf("it says node %q, users %v", is.Node, is.Users)
		})
		if err != nil {
			return err
		}
	}
	d.say("every node that is up knows that container %s on node %s uses the volume", containerName, node)
	return nil
}
