package placement_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/volume"
)

// holding returns a volume with copies on the first disks of nodes, whose disks
// promise it as much more.
func holding(nodes []placement.Node, id byte, options, on string) placement.Held {
	s, err := volume.ParseSpec(fmt.Sprintf("name=v%d,%s", id, options))
	if err != nil {
		panic(err)
	}
	v := placement.Held{ID: block.VolumeID{id}, Spec: &s}
	for _, name := range strings.Fields(on) {
		i := slices.IndexFunc(nodes, func(n placement.Node) bool { return n.Name == name })
		nodes[i].Disks[0].Promised += s.Size
		v.Copies = append(v.Copies, volume.Place{Node: nodes[i].ID, Disk: nodes[i].Disks[0].ID})
	}
	return v
}

// steps writes a plan's moves as volume, from and to.
func steps(b volume.Balance) string {
	var all []string
	for i := range b.Moves {
		m := &b.Moves[i]
		all = append(all, fmt.Sprintf("%s:%s>%s", m.Name, m.FromNode, m.ToNode))
	}
	return strings.Join(all, " ")
}

func TestBalance(t *testing.T) {
	type held struct{ options, on string }
	twenty := func(on string) held { return held{"size=20GiB", on} }
	for _, test := range []struct {
		name    string
		zones   string // one letter a node, a and so on; ".": none
		volumes []held
		change  func(nodes []placement.Node, volumes []placement.Held)
		spread  int
		want    string
		stuck   string // contained in what is stuck
	}{
		{"even already", "..", []held{twenty("a"), twenty("b")}, nil, 10, "", ""},
		{"within the spread", "..", []held{twenty("a"), twenty("b"), {"size=10GiB", "a"}}, nil, 10, "", ""},
		{"beyond the spread", "..", []held{twenty("a"), twenty("b"), {"size=10GiB", "a"}, {"size=2GiB", "a"}}, nil, 10, "v3:a>b", ""},
		{"half of it", "..", []held{twenty("a"), twenty("a"), twenty("a"), twenty("a")}, nil, 10, "v0:a>b v1:a>b", ""},
		{"the largest that does not turn it round", "..", []held{{"size=50GiB", "a"}, {"size=30GiB", "a"}, {"size=5GiB", "a"}}, nil, 10, "v1:a>b v2:a>b", "disk 61"},
		{"one that would only change places", "..", []held{{"size=50GiB", "a"}}, nil, 10, "", "disk 61000000000000000000000000000000 of node a stays at 50 %"},
		{"not to a node with a copy", "..", []held{twenty("a b"), twenty("a")}, nil, 10, "", "stays at 40 %"},
		{"to the emptiest", "...", []held{twenty("a"), twenty("a"), twenty("a"), {"size=5GiB", "b"}}, nil, 20, "v0:a>c v1:a>b", ""},
		{"copies stay in as many zones", "xyy", []held{twenty("a b"), twenty("a b"), twenty("a b")}, nil, 10, "v0:b>c", "node a stays"},
		{"no better zone is needed", "xxy", []held{twenty("a b"), twenty("a b")}, nil, 10, "v0:b>c", "node a stays at 40 %"},
		{"not where the volume may not be", "..", []held{{"size=20GiB,nodes=a", "a"}, {"size=20GiB,labels=disk=ssd", "a"}, {"size=20GiB,zones=q", "a"}}, nil, 10, "", "stays at 60 %"},
		{"what is fixed stays", "..", []held{twenty("a"), twenty("a")}, func(_ []placement.Node, v []placement.Held) { v[0].Fixed = true }, 10, "v1:a>b", ""},
		{"what is fixed is waited for", "..", []held{twenty("a"), twenty("a")}, func(_ []placement.Node, v []placement.Held) {
			v[0].Fixed, v[1].Fixed = true, true
		}, 10, "", "stays at 40 %: none of its copies can go to an emptier disk; 2 of their volumes"},
		{"what leaves is not counted", "..", []held{twenty("a"), twenty("a b")}, func(_ []placement.Node, v []placement.Held) {
			v[1].Leaving, v[1].Copies, v[1].Fixed = v[1].Copies[:1], v[1].Copies[1:], true
		}, 10, "", ""},
		{"the copy that is read here comes last", "..", []held{{"size=20GiB", "a"}, {"size=10GiB", "a"}, {"size=10GiB", "a"}}, func(_ []placement.Node, v []placement.Held) {
			v[0].Attached = block.NodeID{'a'}
		}, 10, "v1:a>b v2:a>b", ""},
		{"not to a cordoned node", "...", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[1].Spec.Cordoned = true }, 10, "v0:a>c", ""},
		{"a cordoned node may give", "..", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[0].Spec.Cordoned = true }, 10, "v0:a>b", ""},
		{"not to a drained node", "..", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[1].Spec.Drained = "x" }, 10, "", ""},
		{"not to a node that leaves", "..", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[1].Spec.Leaves = true }, 10, "", ""},
		{"not to one in maintenance", "..", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[1].Spec.Maintained = "x" }, 10, "", ""},
		{"not to one not heard from", "..", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[1].Alive = false }, 10, "", ""},
		{"nor from it", "..", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[0].Alive = false }, 10, "", ""},
		{"not to a cordoned disk", "..", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[1].Disks[0].Cordoned = true }, 10, "", ""},
		{"not to an ailing disk", "..", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[1].Disks[0].Ailing = "x" }, 10, "", ""},
		{"not to a disk that cannot be used", "..", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[1].Disks[0].Unusable = "x" }, 10, "", ""},
		{"not to a disk that would be nearly full", "..", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[1].Disks[0].Free = 39 * gib }, 10, "", "stays"},
		{"exactly as full as may be", "..", []held{twenty("a"), twenty("a")}, func(n []placement.Node, _ []placement.Held) { n[1].Disks[0].Free = 40 * gib }, 10, "v0:a>b", ""},
		{"shares count, not bytes", "..", []held{twenty("a"), twenty("a"), twenty("b"), twenty("b")}, func(n []placement.Node, _ []placement.Held) {
			n[1].Disks[0].Capacity, n[1].Disks[0].Free = 400*gib, 400*gib
		}, 10, "v0:a>b", ""},
		{"no disk at all", "", nil, nil, 10, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var nodes []placement.Node
			for i, zone := range test.zones {
				nodes = append(nodes, node(string(rune('a'+i)), string(zone), 100))
			}
			var volumes []placement.Held
			for i, v := range test.volumes {
				volumes = append(volumes, holding(nodes, byte(i), v.options, v.on))
			}
			if test.change != nil {
				test.change(nodes, volumes)
			}
			plan := placement.Balance(nodes, volumes, test.spread, math.MaxInt)
			if got := steps(plan); got != test.want {
				t.Errorf("moves %q, want %q", got, test.want)
			}
			if got := strings.Join(plan.Stuck, "\n"); !strings.Contains(got, test.stuck) || got != "" && test.stuck == "" {
				t.Errorf("stuck: %q, want %q", got, test.stuck)
			}
			slices.Reverse(nodes)
			slices.Reverse(volumes)
			if again := placement.Balance(nodes, volumes, test.spread, math.MaxInt); steps(again) != steps(plan) {
				t.Errorf("the order matters: %q", steps(again))
			}
		})
	}
}

// large is a cluster of so many nodes in ten zones, half of which are empty. Every
// tenth volume may only be where it is.
func large(nodes, volumes int) (all []placement.Node, held []placement.Held) {
	for i := range nodes {
		id := [2]byte{byte(i >> 8), byte(i)}
		all = append(all, placement.Node{
			Alive: true, Node: volume.Node{ID: block.NodeID{id[0], id[1]}, Name: fmt.Sprint("n", i), Zone: fmt.Sprint("z", i%10)},
			Disks: []volume.Disk{{ID: block.DiskID{id[0], id[1]}, Node: block.NodeID{id[0], id[1]}, Capacity: 1 << 40, Free: 1 << 40}},
		})
	}
	for i := range volumes {
		s := &volume.Spec{Name: fmt.Sprint("v", i), Size: int64(1+i%3) * gib, Replicas: 2}
		v := placement.Held{ID: block.VolumeID{byte(i >> 16), byte(i >> 8), byte(i)}, Spec: s}
		for r := range 2 {
			n := &all[(i+r)%(nodes/2)]
			n.Disks[0].Promised += s.Size
			v.Copies = append(v.Copies, volume.Place{Node: n.ID, Disk: n.Disks[0].ID})
			if i%10 == 0 {
				s.Nodes = append(s.Nodes, n.Name)
			}
		}
		held = append(held, v)
	}
	return all, held
}

// A plan ends, for a large cluster too, keeps what it promises, and does not begin
// anew once it is carried out.
func TestBalanceOfLargeClusters(t *testing.T) {
	for _, size := range [][2]int{{10, 500}, {100, 5000}, {1000, 100_000}} {
		nodes, held := large(size[0], size[1])
		plan := placement.Balance(nodes, held, 5, math.MaxInt)
		if len(plan.Moves) == 0 || len(plan.Moves) > 2*size[1] || len(plan.Stuck) > 0 {
			t.Fatalf("%v: %d moves, stuck: %q", size, len(plan.Moves), plan.Stuck)
		}
		if first := placement.Balance(nodes, held, 5, 1); steps(first) != steps(volume.Balance{Moves: plan.Moves[:1]}) {
			t.Errorf("%v: the first move is %q", size, steps(first))
		}
		carryOut(t, nodes, held, &plan)
		after := placement.Balance(nodes, held, 5, math.MaxInt)
		if after.Fullest-after.Emptiest > 5 || len(after.Moves) > 0 {
			t.Errorf("%v: %d to %d %% when it is done, %d moves", size, after.Emptiest, after.Fullest, len(after.Moves))
		}
	}
}

// carryOut does what a plan says, and checks each move by the one place where copies
// are judged.
func carryOut(t *testing.T, nodes []placement.Node, held []placement.Held, plan *volume.Balance) {
	volumes := map[block.VolumeID]*placement.Held{}
	for i := range held {
		volumes[held[i].ID] = &held[i]
	}
	at := map[block.NodeID]*placement.Node{}
	for i := range nodes {
		at[nodes[i].ID] = &nodes[i]
	}
	bytes := int64(0)
	for _, m := range plan.Moves {
		v, to := volumes[m.Volume], at[m.To.Node]
		if p := placement.Add(v.Spec, []placement.Node{*to}, v.Copies, 1); len(p.Disks) != 1 {
			t.Fatalf("volume %s cannot go to node %s: %q", m.Name, to.Name, p.Reasons)
		}
		i := slices.IndexFunc(v.Copies, func(p volume.Place) bool { return p.Disk == m.From.ID })
		v.Copies[i] = volume.Place{Node: to.ID, Disk: m.To.ID}
		at[m.From.Node].Disks[0].Promised -= m.Bytes
		to.Disks[0].Promised += m.Bytes
		if at[v.Copies[0].Node].Zone == at[v.Copies[1].Node].Zone {
			t.Fatalf("volume %s is in one zone", m.Name)
		}
		bytes += m.Bytes
	}
	if bytes != plan.Bytes {
		t.Errorf("%d bytes are moved, %d were planned", bytes, plan.Bytes)
	}
}
