package orchestrator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// lossesOf writes what the absence of a node would cost: db less-redundant 1/2.
func lossesOf(a *volume.Absence) string {
	var all []string
	for _, l := range a.Losses {
		all = append(all, l.Volume+" "+string(l.Fate))
	}
	return strings.Join(all, ", ")
}

func TestAbsenceSaysWhatTheOthersWouldNotice(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 20*gib, 20*gib)
	a, b, e, d := c.nodes[0], c.nodes[1], c.nodes[2], c.nodes[3]
	id := func(m *machine) block.NodeID { return m.record.ID }
	v := a.create("name=db,size=1GiB,replicas=2,nodes=a+b").Volume
	a.create("name=single,size=1GiB,replicas=1,nodes=c")
	a.create("name=far,size=1GiB,replicas=2,nodes=c+d")
	b.insist(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	d.insist(volume.Command{Kind: volume.AttachVolume, Name: "far"})
	three := []block.NodeID{id(a), id(b), id(e)}
	for _, x := range []struct {
		node   *machine
		voters []block.NodeID
		losses string
		stays  string
		safe   bool
	}{
		{a, three, "db less-redundant", "", true},
		{b, three, "db less-redundant", "db", true},
		{e, three, "far less-redundant, single unavailable", "", false},
		{d, three, "far less-redundant", "far", true},
		{d, nil, "far less-redundant", "far", true}, // others run the metadata store
		{a, []block.NodeID{id(a)}, "db unavailable", "", false},
		{b, []block.NodeID{id(a)}, "db less-redundant", "db", true},
	} {
		got := x.node.o.Absence(id(x.node), x.voters)
		var stays []string
		for _, s := range got.Stays {
			stays = append(stays, s.Volume)
		}
		if lossesOf(&got) != x.losses || strings.Join(stays, " ") != x.stays || got.Safe != x.safe || got.Safe != (len(got.Reasons) == 0) {
			t.Errorf("node %s, %d voters: %+v", x.node.record.Name, len(x.voters), got)
		}
	}
	c.setState(v, b, volume.Out)
	c.pass(time.Second)
	if got := a.o.Absence(id(a), three); got.Safe || lossesOf(&got) != "db unavailable" || !strings.Contains(got.Reasons[0], "volume db stops") {
		t.Errorf("the last copy in sync: %+v", got)
	}
	c.kill(e)
	c.run()
	if got := a.o.Absence(id(b), three); got.Safe || got.Voters.Left != 1 || !strings.Contains(got.Reasons[0], "1 of its 3 voters, 2 are needed") {
		t.Errorf("the second voter: %+v", got)
	}
	if got := a.o.Absence(id(d), three); !strings.Contains(lossesOf(&got), "far unavailable") {
		t.Errorf("the other copy is on a dead node: %+v", got)
	}
}

func TestAccountSaysWhyCopiesAreWhereTheyAre(t *testing.T) {
	c := newHealing(t, 1, 10*time.Minute, 20*gib, 20*gib, 10*gib, 10*gib)
	a, b, e, d := c.nodes[0], c.nodes[1], c.nodes[2], c.nodes[3]
	v := a.create("name=db,size=1GiB,replicas=2,nodes=a+b+c").Volume
	e.insist(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	c.setState(v, b, volume.Out)
	b.idle, a.idle, e.idle = true, true, true
	c.kill(d)
	c.run()
	got, found := a.o.Account("db", nil)
	if !found || got.Health != volume.Degraded || got.Asked != 2 || got.MinWritable != 1 || got.Rules[0] != "on nodes a or b or c" {
		t.Fatalf("%v: %+v", found, got)
	}
	if len(got.Copies) != 2 || got.Copies[1].Node != "b" || !strings.Contains(strings.Join(got.Copies[1].Why, "; "), "it is to be filled from the others") {
		t.Errorf("copies %+v", got.Copies)
	}
	for i, x := range []struct {
		fate        volume.Fate
		text, place string
	}{
		{volume.Unavailable, "it stops: no other copy", "it has a copy"},
		{volume.Unaffected, "no copy in sync is there", "it has a copy"},
		{volume.Unaffected, "it is attached there: another node can take it over; no copy in sync is there", "chosen, 10 GiB free"},
		{volume.Unaffected, "no copy in sync is there", "not among the nodes asked for"},
	} {
		n := got.Nodes[i]
		if n.Fate != x.fate || !strings.Contains(n.Text, x.text) || !strings.Contains(n.Place, x.place) {
			t.Errorf("node %s: %+v", n.Node, n)
		}
	}
	c.setState(v, b, volume.InSync)
	c.run()
	if got, _ := a.o.Account("db", nil); !strings.Contains(got.Nodes[0].Text, "goes on with 1 of 2 copies in sync; after 10m0s a copy is made on node c in its place") {
		t.Errorf("nothing is said of healing: %s", got.Nodes[0].Text)
	}
	if _, found := a.o.Account("absent", nil); found {
		t.Error("there is an account of no volume")
	}
}
