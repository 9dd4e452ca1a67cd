package bench

import (
	"context"
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/volume"
)

const (
	planNodes = 50
	planDisks = 4 // of each
	planZones = 5
)

// measurePlan measures how long it takes to choose the disks of many volumes on
// many nodes, each volume after what the ones before it were promised.
func (s *suite) measurePlan(ctx context.Context) error {
	const bench = "plan-1000-volumes/50-nodes"
	if s.unwanted(contestOf(bench)) {
		return nil
	}
	var runs []load.Figures
	for range s.scale.rounds {
		nodes := planned()
		begin := s.Clock()
		for i := range manyVolumes {
			spec := volume.Spec{Name: manyName(int64(i)), Size: 1 << 30, Replicas: 2 + i%2}
			plan := placement.Place(&spec, nodes)
			if len(plan.Disks) != spec.Replicas {
				return fmt.Errorf("%s: volume %d: %v", bench, i, plan.Reasons)
			}
			for _, d := range plan.Disks {
				promise(nodes, d.ID, spec.Size)
			}
		}
		runs = append(runs, load.Figures{load.Time: s.Clock().Sub(begin).Seconds()})
	}
	f := load.Medians(runs)
	s.printf("\n%s: %.3f s, %.0f µs a volume, with a reason for every node\n", bench, f[load.Time], f[load.Time]/manyVolumes*1e6)
	s.results.add(bench, "", f)
	return ctx.Err()
}

// planned returns nodes with empty disks of different sizes.
func planned() (nodes []placement.Node) {
	for i := range planNodes {
		n := placement.Node{Alive: true, Node: volume.Node{
			ID: block.NodeID{byte(i + 1)}, Name: fmt.Sprintf("n%d", i), Zone: fmt.Sprintf("z%d", i%planZones),
		}}
		for j := range planDisks {
			size := int64(1+(i+j)%4) << 40
			n.Disks = append(n.Disks, volume.Disk{ID: block.DiskID{byte(i + 1), byte(j + 1)}, Node: n.ID, Capacity: size, Free: size})
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func promise(nodes []placement.Node, id block.DiskID, bytes int64) {
	for i := range nodes {
		j := slices.IndexFunc(nodes[i].Disks, func(d volume.Disk) bool { return d.ID == id })
		if j >= 0 {
			nodes[i].Disks[j].Promised += bytes
			return
		}
	}
}
