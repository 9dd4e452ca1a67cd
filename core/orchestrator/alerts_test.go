package orchestrator_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

func nodeStatus(i byte, silent time.Duration) orchestrator.NodeStatus {
	return orchestrator.NodeStatus{
		Node: volume.Node{ID: block.NodeID{15: i}, Name: string('a' + rune(i) - 1)}, Alive: silent == 0, Silent: max(0, silent),
	}
}

func TestAlertsSayWhatIsWrongAndWhatToDo(t *testing.T) {
	a, b, c := nodeStatus(1, 0), nodeStatus(2, 0), nodeStatus(3, 0)
	away := nodeStatus(2, 41*time.Second)
	ids := func(nodes ...orchestrator.NodeStatus) (list []block.NodeID) {
		for _, n := range nodes {
			list = append(list, n.ID)
		}
		return list
	}
	disk := func(free, promised int64, unusable string) []volume.Disk {
		return []volume.Disk{{ID: block.DiskID{7}, Node: a.ID, Capacity: 100 * gib, Free: free * gib, Promised: promised * gib, Unusable: unusable}}
	}
	vol := func(change func(v *orchestrator.VolumeStatus), states ...volume.State) []orchestrator.VolumeStatus {
		v := orchestrator.VolumeStatus{Spec: volume.Spec{Name: "db", Replicas: 2}, Config: &volume.Config{}}
		for i, s := range states {
			v.Config.Members = append(v.Config.Members, volume.Member{Node: block.NodeID{15: byte(i + 1)}, State: s})
		}
		if change != nil {
			change(&v)
		}
		return []orchestrator.VolumeStatus{v}
	}
	deleting := func(v *orchestrator.VolumeStatus) { v.Deleting = true }
	gone := func(v *orchestrator.VolumeStatus) { v.Gone = ids(b) }
	all := []orchestrator.NodeStatus{a, b, c}
	for _, x := range []struct {
		about    string
		recorded orchestrator.Recorded
		want     string // code subject: parts of text and fix, one after another; none: no alert
	}{
		{"all is well", orchestrator.Recorded{Nodes: all, Disks: disk(21, 100, ""), Volumes: vol(nil, volume.InSync, volume.InSync), Voters: ids(a, b, c)}, ""},
		{"nothing is known of voters", orchestrator.Recorded{Nodes: all[:1]}, ""},
		{"a disk is filling", orchestrator.Recorded{Nodes: all, Disks: disk(20, 0, "")}, "disk-filling 07000000000000000000000000000000: of node a is 80 % full|delete volumes"},
		{"a disk is nearly full", orchestrator.Recorded{Nodes: all, Disks: disk(10, 0, "")}, "disk-nearly-full 07000000000000000000000000000000: is 90 % full|delete volumes"},
		{"a disk promises too much", orchestrator.Recorded{Nodes: all, Disks: disk(50, 101, "")}, "disk-over-promised 07000000000000000000000000000000: has 100 GiB and 101 GiB are promised|add a disk"},
		{"a disk without capacity", orchestrator.Recorded{Nodes: all, Disks: []volume.Disk{{ID: block.DiskID{7}, Node: a.ID}}}, ""},
		{"a disk is broken, and nothing else is said of it", orchestrator.Recorded{Nodes: all, Disks: disk(0, 200, "it is gone")}, "disk-unusable 07000000000000000000000000000000: of node a cannot be used: it is gone|start the node again"},
		{"a node is silent", orchestrator.Recorded{Nodes: []orchestrator.NodeStatus{a, away}}, "node-silent b: not heard from for 41 s|lagan up|lagan node rm b"},
		{"nobody knows since when", orchestrator.Recorded{Nodes: []orchestrator.NodeStatus{a, nodeStatus(2, -1)}}, "node-silent b: node b is not heard from|lagan node rm b"},
		{"a copy is out", orchestrator.Recorded{Nodes: all, Volumes: vol(nil, volume.InSync, volume.Out)}, "volume-degraded db: copy on node b is out|nodes with its copies"},
		{
			"a copy was on a node that was removed",
			orchestrator.Recorded{Nodes: []orchestrator.NodeStatus{a}, Removed: map[block.NodeID]string{b.ID: "b"}, Volumes: vol(gone, volume.InSync, volume.InSync)},
			"volume-degraded db: copy on node b, which was removed|nodes with its copies",
		},
		{"a copy was dropped", orchestrator.Recorded{Nodes: all, Volumes: vol(nil, volume.InSync)}, "volume-degraded db: 1 of 2 copies in sync|nodes with its copies"},
		{
			"requests wait",
			orchestrator.Recorded{Nodes: all, Volumes: vol(func(v *orchestrator.VolumeStatus) {
				v.Here = orchestrator.Service{Started: true, Text: "waiting for node b"}
			}, volume.InSync, volume.InSync)},
			"volume-stalled db: requests to volume db wait: waiting for node b|inspect db",
		},
		{
			"a record cannot be read",
			orchestrator.Recorded{Nodes: all, Volumes: vol(func(v *orchestrator.VolumeStatus) { v.Problem = errors.New("format 9") })},
			"volume-unreadable db: format 9|upgrade",
		},
		{"a deletion goes on", orchestrator.Recorded{Nodes: all, Volumes: vol(deleting, volume.InSync, volume.InSync)}, ""},
		{
			"a deletion waits",
			orchestrator.Recorded{Nodes: []orchestrator.NodeStatus{a, away}, Volumes: vol(deleting, volume.InSync, volume.InSync)},
			"deletion-waiting db: still has a copy on node b|start node b|lagan node rm b",
		},
		{"one node", orchestrator.Recorded{Nodes: all[:1], Voters: ids(a)}, "voters-few metadata store: only node a votes|none can be created|until there are 3"},
		{"two nodes", orchestrator.Recorded{Nodes: all[:2], Voters: ids(a)}, "voters-few metadata store: two nodes have no quorum without the first|node a is away|token create"},
		{"two voters", orchestrator.Recorded{Nodes: all[:2], Voters: ids(b, a)}, "voters-few metadata store: only nodes a and b vote|while either is away|until there are 3"},
		{"a voter is silent", orchestrator.Recorded{Nodes: []orchestrator.NodeStatus{a, away, c}, Voters: ids(a, b, c)}, "voters-silent metadata store: of the 3 nodes|b cannot be heard|if another one fails|lagan node rm b"},
	} {
		var texts []string
		for _, alert := range orchestrator.Alerts(&x.recorded) {
			if alert.Code == "node-silent" && !strings.HasPrefix(x.want, "node-silent") {
				continue // said of the node as well
			}
			texts = append(texts, fmt.Sprintf("%s %s: %s %s", alert.Code, alert.Subject, alert.Text, alert.Fix))
		}
		if want := min(1, len(x.want)); len(texts) != want {
			t.Errorf("%s: %q, want %d alerts", x.about, texts, want)
			continue
		}
		rest := strings.Join(texts, "")
		head, parts, _ := strings.Cut(x.want, ": ")
		if !strings.HasPrefix(rest, head) {
			t.Errorf("%s: %q, want %q", x.about, rest, head)
		}
		for part := range strings.SplitSeq(parts, "|") {
			_, after, found := strings.Cut(rest, part)
			if !found {
				t.Errorf("%s: %q does not say %q", x.about, rest, part)
			}
			rest = after
		}
	}
}

func TestAlertsAreSorted(t *testing.T) {
	r := orchestrator.Recorded{Nodes: []orchestrator.NodeStatus{nodeStatus(3, time.Second), nodeStatus(1, time.Second), nodeStatus(2, 0)}}
	r.Voters = []block.NodeID{{15: 2}}
	for i := range byte(3) {
		r.Disks = append(r.Disks, volume.Disk{ID: block.DiskID{9 - i}, Node: block.NodeID{15: 2}, Unusable: "x"})
	}
	alerts := orchestrator.Alerts(&r)
	if len(alerts) != 7 || !slices.IsSortedFunc(alerts, func(a, b volume.Alert) int { return strings.Compare(a.Code+" "+a.Subject, b.Code+" "+b.Subject) }) {
		t.Errorf("%+v", alerts)
	}
	slices.Reverse(r.Nodes)
	slices.Reverse(r.Disks)
	if again := orchestrator.Alerts(&r); !slices.Equal(again, alerts) {
		t.Errorf("the order of the records matters: %+v", again)
	}
}

func TestRecordsOfAClusterGiveItsAlerts(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	c.nodes[0].create("name=db,size=1GiB,replicas=2")
	c.kill(c.nodes[1])
	c.nodes[0].insist(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
	recorded := c.nodes[0].o.Recorded()
	var codes []string
	for _, alert := range orchestrator.Alerts(&recorded) {
		codes = append(codes, alert.Code+" "+alert.Subject)
	}
	if !slices.Equal(codes, []string{"deletion-waiting db", "node-silent b"}) {
		t.Errorf("%q", codes)
	}
}
