package orchestrator_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// storm has three nodes do what commands ask for while outcomes are unknown,
// processes die and coordinators are fenced; then everything heals.
func storm(t *testing.T, seed uint64) *cluster {
	c := newCluster(t, seed, 8*gib, 8*gib, 8*gib)
	c.unknown = int(seed % 40)
	names := []string{"p", "q", "r"}
	for range 40 {
		m := c.nodes[c.random.IntN(3)]
		if m.deaf {
			m.deaf = false
			m.start()
			continue
		}
		command := volume.Command{
			Kind:  []volume.CommandKind{volume.CreateVolume, volume.AttachVolume, volume.AttachVolume, volume.DetachVolume, volume.DeleteVolume, volume.MarkFormatted}[c.random.IntN(6)],
			Name:  names[c.random.IntN(3)],
			Force: c.random.IntN(3) == 0,
		}
		command.Spec = volume.Spec{Name: command.Name, Size: int64(1+c.random.IntN(3)) * gib, Replicas: 1 + c.random.IntN(2)}
		switch c.random.IntN(20) {
		case 0:
			c.kill(m)
			continue
		case 1:
			m.later(m.failDisk)
		case 2:
			m.control(step.Control{Kind: step.DiskSpace, Disk: m.disk, Capacity: m.size, Free: m.size - int64(c.random.IntN(gib))})
		case 3:
			m.later(func() {
				for _, id := range slices.SortedFunc(maps.Keys(m.serving), func(a, b block.VolumeID) int { return slices.Compare(a[:], b[:]) }) {
					m.end(id, step.VolumeFenced)
					break
				}
			})
		case 4:
			m.watched = -1 // the store has forgotten what this node has not seen
		}
		if c.random.IntN(2) == 0 {
			c.nodes[c.random.IntN(3)].useSome()
		}
		m.ask(command)
		for range c.random.IntN(30) {
			if all := c.choices(); len(all) > 0 {
				all[c.random.IntN(len(all))]()
			}
			c.arrive(20)
		}
		if c.random.IntN(4) == 0 {
			c.pass(1e9)
		}
	}
	c.unknown = 0
	for _, m := range c.nodes {
		if m.deaf {
			m.deaf = false
			m.start()
		}
	}
	c.pass(3e9)
	for len(c.late) > 0 {
		c.arrive(100)
		c.run()
	}
	c.pass(40e9)
	return c
}

// useSome has a container, or none any more, use each volume that serves.
func (m *machine) useSome() {
	if m.deaf {
		return
	}
	for _, id := range slices.SortedFunc(maps.Keys(m.serving), func(a, b block.VolumeID) int { return slices.Compare(a[:], b[:]) }) {
		m.use(id, []string{"web", "job"}[:m.c.random.IntN(3)]...)
	}
	m.keeps = m.c.random.IntN(4) == 0
}

func TestClusterComesToRestAfterAnyStorm(t *testing.T) {
	marks := map[step.Mark]int{}
	seeds := uint64(400)
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		c := storm(t, seed)
		c.check()
		for mark, n := range c.marks { // any order: they are summed
			marks[mark] += n
		}
		for _, m := range c.nodes {
			m.checkAnswers()
			m.checkEvents()
		}
		if t.Failed() {
			t.Fatalf("seed %d: %v", seed, c)
		}
	}
	for _, rare := range []step.Mark{
		"orchestrator: transaction of unknown outcome re-issued",
		"orchestrator: refused after an unknown outcome",
		"orchestrator: refused creation turned out to be applied",
		"orchestrator: refused attachment turned out to be applied",
		"orchestrator: write of reconciliation refused",
		"orchestrator: coordinator stopped because the attachment moved",
		"orchestrator: stale attachment removed",
		"orchestrator: last replica of a deleted volume freed",
		"orchestrator: duel lost",
		"orchestrator: lingering volume is asked for",
		"orchestrator: lingering volume is let go for another node",
		"orchestrator: wanted volume is used again",
		"orchestrator: waited in vain for a lingering volume",
	} {
		if marks[rare] == 0 {
			t.Errorf("no storm came past: %s (%v)", rare, marks)
		}
	}
}

// checkAnswers insists that every command of the last life was answered.
func (m *machine) checkAnswers() {
	m.c.t.Helper()
	for id := m.born + 1; id <= m.last; id++ {
		m.answer(id)
	}
}

func TestSameSeedGivesTheSameRun(t *testing.T) {
	first, second := storm(t, 7), storm(t, 7)
	if !slices.EqualFunc(first.changes, second.changes, func(a, b metadata.Change) bool {
		return a.Key == b.Key && a.Revision == b.Revision && string(a.Value) == string(b.Value)
	}) {
		t.Error("two runs of one seed wrote different records")
	}
}
