package orchestrator

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// onDamage tells what a coordinator of this node met: blocks that a disk did not
// give as they had been written.
func (o *Orchestrator) onDamage(c *step.Control, out *step.Effects) {
	v := o.view.Volume(c.Volume)
	l := o.volumes[c.Volume]
	if v.Spec.Value == nil || l == nil {
		return
	}
	name := v.Spec.Value.Name
	for i := range c.Damage {
		d := &c.Damage[i]
		blocks := fmt.Sprintf("block %d", d.First)
		if d.Repaired > 1 {
			blocks = fmt.Sprintf("%d blocks, block %d among them,", d.Repaired, d.First)
		}
		out.Events = append(out.Events, volume.Event{
			Kind: volume.DataRepaired, Volume: name, Node: o.nodeName(d.Node), Disk: d.Disk.String(),
			Text: fmt.Sprintf("disk %v of node %s did not give %s of volume %s as written: written anew from the copy on node %s",
				d.Disk, o.nodeName(d.Node), blocks, name, o.nodeName(d.Source)),
		})
	}
	if c.Lost > l.lost {
		out.Events = append(out.Events, volume.Event{
			Kind: volume.DataLost, Volume: name,
			Text: fmt.Sprintf("volume %s: no copy in sync has %s as written; reading them fails until they are overwritten", name, countOf(c.Lost, "block")),
		})
	}
	l.lost = c.Lost
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
