package placement_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/volume"
)

const gib = 1 << 30

// node returns an alive node with one disk for each number of free GiB.
func node(name, zone string, free ...int64) placement.Node {
	n := placement.Node{Alive: true, Node: volume.Node{ID: block.NodeID{name[0]}, Name: name, Zone: zone}}
	for i, g := range free {
		n.Disks = append(n.Disks, volume.Disk{
			ID: block.DiskID{name[0], byte(i)}, Node: n.ID, Capacity: 100 * gib, Free: 100 * gib, Promised: (100 - g) * gib,
		})
	}
	return n
}

func with(n placement.Node, change func(n *placement.Node)) placement.Node {
	change(&n)
	return n
}

// chosen returns the names of the nodes of a plan, in order.
func chosen(p placement.Plan) string {
	var names []string
	for _, d := range p.Disks {
		names = append(names, string(rune(d.ID[0])))
	}
	return strings.Join(names, " ")
}

func TestPlacement(t *testing.T) {
	spec := func(options string) volume.Spec {
		s, err := volume.ParseSpec("name=db," + options)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	three := []placement.Node{node("a", "", 20), node("b", "", 40), node("c", "", 30)}
	for _, test := range []struct {
		name    string
		spec    string
		nodes   []placement.Node
		want    string // names of the chosen nodes
		reasons string // contained in the reasons, one after another, separated by |
	}{
		{"most room first", "size=10GiB,replicas=2", three, "b c", "node a: 20 GiB free, not needed|node b: chosen, 40 GiB free|node c: chosen"},
		{"two copies by default", "size=10GiB", three, "b c", ""},
		{"one copy on one node by default", "size=10GiB", three[:1], "a", ""},
		{"the default counts nodes that are silent", "size=10GiB", []placement.Node{three[0], with(three[1], func(n *placement.Node) { n.Alive = false })}, "", "node b: not heard from"},
		{"the default does not count nodes without disks", "size=10GiB", []placement.Node{three[0], node("b", "")}, "a", "node b: it has no disk"},
		{"ties go by identity", "size=10GiB,replicas=2", []placement.Node{node("c", "", 30), node("b", "", 30), node("a", "", 30)}, "a b", ""},
		{"too little room", "size=101GiB,replicas=3", three, "", "node a: 100 GiB free, 101 GiB needed"},
		{"exactly enough room", "size=20GiB,replicas=3", three, "b c a", ""},
		{"what is promised counts, not what is written", "size=30GiB,replicas=1", three, "b", "node a: 100 GiB free, not needed"},
		{
			"a disk that promises too much comes after all others", "size=30GiB,replicas=3", three, "b c a",
			"node a: chosen, 100 GiB free on disk 61000000000000000000000000000000, which promises more|node b: chosen, 40 GiB free",
		},
		{
			"the one on which most is free promises too much", "size=30GiB,replicas=1",
			[]placement.Node{with(node("a", "", 10, 20, 15), func(n *placement.Node) { n.Disks[0].Free, n.Disks[1].Free = 90*gib, 80*gib; n.Disks[2].Unusable = "x" })},
			"a", "chosen, 90 GiB free on disk 6100",
		},
		{
			"a disk promises twice what it has and no more", "size=30GiB,replicas=2",
			[]placement.Node{node("a", "", -70), node("b", "", -71)},
			"",
			"node a: 100 GiB free, not needed|node b: disk 62000000000000000000000000000000 promises 171 GiB to volumes and may promise 200 GiB, 200 % of what it has (--promise-max): 30 GiB needed",
		},
		{"exactly what it may promise", "size=30GiB,replicas=1", []placement.Node{node("a", "", -70), node("b", "", -71)}, "a", "which promises more"},
		{
			"a node says that its disks promise what they have", "size=30GiB,replicas=1",
			[]placement.Node{with(node("a", "", 29), func(n *placement.Node) { n.PromiseMax = 100 })},
			"", "may promise 100 GiB, 100 % of what it has",
		},
		{
			"a disk that may promise more is taken before one that has more free", "size=30GiB,replicas=1",
			[]placement.Node{with(node("a", "", -80, -50), func(n *placement.Node) { n.Disks[1].Free = 40 * gib })},
			"a", "chosen, 40 GiB free on disk 6101",
		},
		{
			"a node says that its disks promise more", "size=30GiB,replicas=1",
			[]placement.Node{with(node("a", "", -200), func(n *placement.Node) { n.PromiseMax = 330 })},
			"a", "which promises more",
		},
		{
			"what is not free counts although it is not promised", "size=30GiB,replicas=1",
			[]placement.Node{with(node("a", "", 100), func(n *placement.Node) { n.Disks[0].Free = 3*gib + gib/2 })},
			"", "node a: 3.5 GiB free, 30 GiB needed",
		},
		{"best disk of a node", "size=30GiB,replicas=1", []placement.Node{node("a", "", 10, 35, 20)}, "a", "on disk 6101"},
		{"one replica a node", "size=10GiB,replicas=2", []placement.Node{node("a", "", 50, 60)}, "", "node a: 60 GiB free"},
		{
			"a disk that cannot be used", "size=10GiB,replicas=1",
			[]placement.Node{with(node("a", "", 50, 20), func(n *placement.Node) { n.Disks[0].Unusable = "superblock gone" })},
			"a", "chosen, 20 GiB free",
		},
		{
			"no disk that can be used", "size=10GiB,replicas=1",
			[]placement.Node{with(node("a", "", 50), func(n *placement.Node) { n.Disks[0].Unusable = "superblock gone" })},
			"", "cannot be used: superblock gone",
		},
		{
			"a silent node", "size=10GiB,replicas=1",
			[]placement.Node{with(node("a", "", 50), func(n *placement.Node) { n.Alive, n.Silent = false, 41*time.Second })},
			"", "node a: not heard from for 41 s",
		},
		{"zones are spread over", "size=10GiB,replicas=2", []placement.Node{node("a", "x", 50), node("b", "x", 40), node("c", "y", 20)}, "a c", "node b: 40 GiB free, not needed"},
		{"more copies than zones", "size=10GiB,replicas=3", []placement.Node{node("a", "x", 50), node("b", "x", 40), node("c", "y", 20), node("d", "y", 30)}, "a d b", ""},
		{"zones asked for", "size=10GiB,replicas=1,zones=y+z", []placement.Node{node("a", "x", 50), node("c", "y", 20)}, "c", `node a: in zone "x", asked for y or z`},
		{"nodes asked for", "size=10GiB,replicas=1,nodes=a+q", three, "a", "node b: not among the nodes asked for|node q: there is no such node"},
		{"nodes asked for by identity", "size=10GiB,replicas=1,nodes=" + block.NodeID{'c'}.String(), three, "c", ""},
		{
			"labels asked for", "size=10GiB,replicas=1,labels=disk=ssd",
			[]placement.Node{three[1], with(three[0], func(n *placement.Node) { n.Labels = map[string]string{"disk": "ssd", "more": "x"} })},
			"a", "node b: it has no label disk=ssd",
		},
		{"nobody", "size=10GiB,replicas=1", nil, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := spec(test.spec)
			plan := placement.Place(&s, test.nodes)
			if got := chosen(plan); got != test.want {
				t.Errorf("chose %q, want %q: %q", got, test.want, plan.Reasons)
			}
			rest := strings.Join(plan.Reasons, "\n")
			for _, part := range strings.Split(test.reasons, "|") {
				_, after, found := strings.Cut(rest, part)
				if !found {
					t.Fatalf("no reason says %q: %q", part, plan.Reasons)
				}
				rest = after
			}
			over := 0
			for _, reason := range plan.Reasons {
				if strings.HasSuffix(reason, "which promises more than it has") {
					over++
				}
			}
			if len(plan.Warnings) != over {
				t.Errorf("warns %q, of %d disks", plan.Warnings, over)
			}
			backwards := slices.Clone(test.nodes)
			slices.Reverse(backwards)
			if again := placement.Place(&s, backwards); chosen(again) != chosen(plan) || !slices.Equal(again.Reasons, plan.Reasons) {
				t.Errorf("the order of the nodes matters: %q", again.Reasons)
			}
		})
	}
}

func TestWarningNamesTheDiskAndBothSizes(t *testing.T) {
	s, err := volume.ParseSpec("name=db,size=30GiB,replicas=1")
	if err != nil {
		t.Fatal(err)
	}
	plan := placement.Place(&s, []placement.Node{node("a", "", 20)})
	want := "disk 61000000000000000000000000000000 of node a has 100 GiB, and 110 GiB are promised to volumes with this one: add a disk, or delete volumes, before they are full"
	if !slices.Equal(plan.Warnings, []string{want}) {
		t.Errorf("%q", plan.Warnings)
	}
}
