package orchestrator_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

func (m *machine) leave() volume.Command {
	yes := true
	c := m.change(volume.NodeChange{Leaves: &yes})
	c.Time = noon
	return c
}

func (m *machine) maintain(until string) volume.Command {
	return m.change(volume.NodeChange{Maintained: &until})
}

// chores has every node do what is due of what was asked of nodes, as its body
// would.
func (c *cluster) chores(now string) (done int) {
	c.t.Helper()
	at, err := time.Parse(time.RFC3339, now)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, m := range c.nodes {
		if m.deaf || c.removed(m) {
			continue
		}
		for _, command := range m.o.NodeChores(at) {
			m.insist(command)
			done++
		}
	}
	return done
}

func TestNodeLeavesWhenNothingIsLeftThere(t *testing.T) {
	for seed := range uint64(20) {
		c := newCluster(t, seed, 20*gib, 19*gib, 18*gib)
		a, b := c.nodes[0], c.nodes[1]
		v := b.create("name=db,size=1GiB,replicas=2").Volume
		c.expectOn(v, "a b")
		a.insist(volume.Command{Kind: volume.AttachVolume, Name: "db"})
		a.insist(a.leave())
		want(t, a.do(add(a)), volume.ErrReplicaExists)
		c.unknown = int(seed)
		c.pass(30 * time.Second)
		c.unknown = 0
		c.expectOn(v, "b c")
		if done := c.chores(noon); done != 0 {
			t.Fatalf("seed %d: it left although a volume is attached there", seed)
		}
		all := b.o.UnderWayInRecords()
		if len(all) != 1 || all[0].Kind != volume.DecommissionOperation || !strings.Contains(all[0].Reason, "waits until nothing is attached there: db") || all[0].Failed {
			t.Fatalf("seed %d: under way is %+v", seed, all)
		}
		a.insist(volume.Command{Kind: volume.DetachVolume, Name: "db"})
		c.pass(time.Second)
		if done := c.chores(noon); done != 1 || !c.removed(a) {
			t.Fatalf("seed %d: %d commands were given", seed, done)
		}
		c.pass(2 * time.Second)
		if !slices.ContainsFunc(a.sent, func(s step.Control) bool { return s.Kind == step.NodeEnded }) {
			t.Errorf("seed %d: it is not told to stop", seed)
		}
		c.kill(a)
		c.pass(10 * time.Second)
		if left := b.o.UnderWayInRecords(); len(left) != 0 || c.chores(noon) != 0 {
			t.Errorf("seed %d: under way is %+v", seed, left)
		}
		c.check()
	}
}

func TestNodeThatIsNotToLeaveStays(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 19*gib, 18*gib)
	a, b := c.nodes[0], c.nodes[1]
	v := a.create("name=db,size=1GiB,replicas=2,nodes=a+b").Volume
	force := b.remove()
	force.Force = true
	want(t, a.do(force), volume.ErrNodeNeeded)
	a.insist(b.leave())
	c.pass(30 * time.Second)
	c.expectOn(v, "a b")
	want(t, a.do(force), volume.ErrNodeNeeded)
	if op := a.o.UnderWayInRecords(); len(op) != 1 || !op[0].Failed || !strings.Contains(op[0].Reason, "volume db cannot be moved") {
		t.Errorf("under way is %+v", op)
	}
	a.insist(b.drain(false))
	if op := a.o.UnderWayInRecords(); len(op) != 0 || c.chores(noon) != 0 {
		t.Errorf("under way is %+v", op)
	}
	c.check()
}

func TestNothingIsMadeAnewDuringMaintenance(t *testing.T) {
	c := newHealing(t, 1, 10*time.Second, 20*gib, 19*gib, 18*gib, 17*gib)
	a, b := c.nodes[0], c.nodes[1]
	v := a.create("name=db,size=1GiB,replicas=2").Volume
	c.expectOn(v, "a b")
	a.insist(b.maintain("2026-01-02T13:00:00Z"))
	if w := a.create("name=more,size=1GiB,replicas=2").Volume; strings.Contains(c.on(w), "b") {
		t.Error("a new copy came to a node that is about to be away")
	}
	c.kill(b)
	c.pass(5 * time.Minute)
	if c.placement(v) != nil || c.chores(noon) != 0 {
		t.Fatal("its copy is made anew")
	}
	if c.chores("2026-01-02T13:00:00Z") != 1 {
		t.Fatal("it does not end")
	}
	c.pass(30 * time.Second)
	if strings.Contains(c.on(v), "b") {
		t.Error("its copy is not made anew when the time is over")
	}
	b.deaf = false
	b.start()
	c.run()
	a.insist(b.maintain("2026-01-02T13:00:00Z"))
	a.insist(b.maintain(""))
	c.pass(20 * time.Second)
	c.check()
}
