package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// watcher lets a machine work and notes what its watch delivers.
type watcher struct {
	node.Machine
	heard []metadata.Revision
}

func (l *watcher) Step(now step.Time, ev *step.Event, out *step.Effects) {
	if ev.Kind == step.EventWatch {
		l.heard = append(l.heard, ev.Update.Revision)
	}
	l.Machine.Step(now, ev, out)
}

func TestPauseThatGrowsHandsOverWhatWaitedInTheOrderItCame(t *testing.T) {
	c := newCluster(t, 3, 1)
	b := c.w.bodies[0]
	l := &watcher{Machine: b.orchestrator.machine}
	b.orchestrator.machine = l
	for range 3 {
		b.pause(c.w.now + int64(300*time.Millisecond))
		for range 3 {
			c.w.metadata.put(metadata.Op{Key: volume.Prefix + "unknown/kind", Value: []byte("x")})
			c.run(60 * time.Millisecond)
		}
	}
	c.run(time.Second)
	if len(l.heard) < 9 || !slices.IsSorted(l.heard) {
		t.Fatalf("the watch of a node that stood still delivered revisions %v", l.heard)
	}
}
