package orchestrator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// Health sums up how a volume is doing, with the reason if it is not healthy.
// name is what people call a node.
func (s *VolumeStatus) Health(name func(block.NodeID) string) (volume.Health, string) {
	switch {
	case s.Problem != nil:
		return volume.Unreadable, s.Problem.Error()
	case s.Deleting:
		return volume.Deleting, "its copies are being freed"
	case s.Here.Started && !s.Here.Serving:
		return volume.Stalled, s.Here.Text
	}
	var missing []string
	inSync := 0
	if s.Config != nil {
		for i := range s.Config.Members {
			switch m := &s.Config.Members[i]; {
			case slices.Contains(s.Gone, m.Node):
				missing = append(missing, fmt.Sprintf("copy on node %s, which was removed", name(m.Node)))
			case m.State == volume.InSync:
				inSync++
			default:
				missing = append(missing, fmt.Sprintf("copy on node %s is %s", name(m.Node), m.State))
			}
		}
	}
	if inSync >= s.Spec.Replicas {
		return volume.Healthy, ""
	}
	if len(missing) == 0 {
		missing = append(missing, fmt.Sprintf("%d of %d copies in sync, no other is left", inSync, s.Spec.Replicas))
	}
	return volume.Degraded, strings.Join(missing, ", ")
}
