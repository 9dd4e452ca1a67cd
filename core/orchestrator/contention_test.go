package orchestrator_test

import (
	"fmt"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
)

// Creations change the records of disks, so those of many nodes contend: each
// loses some duels, and none so many that it is given up.
func TestManyNodesCreateAtOnce(t *testing.T) {
	sizes := make([]int64, 24)
	for i := range sizes {
		sizes[i] = 900 * gib
	}
	c := newCluster(t, 1, sizes...)
	const each = 20
	asked := map[*machine][]uint64{}
	for i := range each {
		for _, m := range c.nodes {
			name := fmt.Sprintf("%s-%d", m.record.Name, i)
			asked[m] = append(asked[m], m.ask(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=" + name + ",size=1GiB")}))
		}
	}
	c.run()
	for m, all := range asked { // any order: each is judged alone
		for _, id := range all {
			if err := m.answer(id).Err; err != nil {
				t.Error(err)
			}
		}
	}
	if lost := c.marks["orchestrator: duel lost"]; lost == 0 {
		t.Error("nobody contended")
	}
	c.check()
}
