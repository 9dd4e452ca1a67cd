package orchestrator_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

func TestCopyOfASilentNodeIsMadeAnewAfterAWhile(t *testing.T) {
	for seed := range uint64(10) {
		c := newHealing(t, seed, 10*time.Second, 20*gib, 19*gib, 18*gib, 17*gib)
		a, b := c.nodes[0], c.nodes[1]
		var all []block.VolumeID
		for _, name := range []string{"p", "q", "r", "s", "t", "u"} {
			all = append(all, a.create("name="+name+",size=1GiB,replicas=2,nodes=a+b+c").Volume)
		}
		c.kill(b)
		c.pass(9 * time.Second)
		for _, v := range all {
			if c.placement(v) != nil {
				t.Fatal("nobody waited for the node")
			}
		}
		c.pass(60 * time.Second)
		for _, v := range all {
			c.expectOn(v, "a c")
		}
		b.deaf = false
		b.start()
		c.pass(15 * time.Second)
		c.check()
	}
}

// Who fills copies reads all that they hold: not of every volume of a node at once.
func TestFourVolumesAreHealedAtATime(t *testing.T) {
	c := newHealing(t, 1, 5*time.Second, 20*gib, 19*gib, 10*gib, 10*gib)
	a, b := c.nodes[0], c.nodes[1]
	var all []block.VolumeID
	for _, name := range []string{"p", "q", "r", "s", "t", "u"} {
		all = append(all, a.create("name="+name+",size=1GiB,replicas=2").Volume)
	}
	for _, m := range c.nodes {
		m.idle = true
	}
	c.kill(b)
	c.pass(30 * time.Second)
	healing := func() (n int) {
		for _, v := range all {
			if c.placement(v) != nil {
				n++
			}
		}
		return n
	}
	if n := healing(); n != 4 {
		t.Fatalf("%d of 6 volumes are being healed", n)
	}
	for _, m := range c.nodes {
		m.idle = false
	}
	c.kill(a) // whoever is the first then goes on
	c.nodes[0].deaf = false
	a.start()
	c.pass(2 * time.Minute)
	if n := healing(); n != 6 {
		t.Errorf("%d of 6 volumes are healed", n)
	}
	c.check()
}

func TestNodeThatComesBackInTimeKeepsItsCopy(t *testing.T) {
	c := newHealing(t, 1, 5*time.Second, 20*gib, 19*gib, 10*gib, 10*gib)
	a, b := c.nodes[0], c.nodes[1]
	v := a.create("name=db,size=1GiB,replicas=2,nodes=a+b").Volume
	w := a.create("name=free,size=1GiB,replicas=2").Volume
	for _, m := range c.nodes {
		m.idle = true
	}
	lost := b
	if !strings.Contains(c.on(w), "b") {
		t.Fatalf("the other volume is on %s", c.on(w))
	}
	c.kill(lost)
	c.pass(10 * time.Second)
	if c.placement(v) != nil {
		t.Error("a copy was placed on a node that was not asked for")
	}
	if p := c.placement(w); p == nil || len(p.Leaving) != 1 || p.Copies[1].Heals == nil {
		t.Fatalf("nothing is healed: %+v", p)
	}
	lost.deaf = false
	lost.start()
	c.pass(10 * time.Second)
	if p := c.placement(w); !p.Reached(c.config(w)) || p.Changing() {
		t.Errorf("the copy that came back is not kept: %+v", p)
	}
	c.check()
}

func TestNothingIsMadeAnewWhileTooManyNodesAreSilent(t *testing.T) {
	c := newHealing(t, 1, time.Second, 20*gib, 20*gib, 20*gib, 20*gib)
	a, b, e := c.nodes[0], c.nodes[1], c.nodes[2]
	v := a.create("name=db,size=1GiB,replicas=2,nodes=a+b+d").Volume
	c.expectOn(v, "a b")
	c.kill(b)
	c.kill(e)
	c.pass(time.Minute)
	if c.placement(v) != nil {
		t.Fatal("half of the nodes are silent, and a copy is made anew")
	}
	r := a.o.Recorded()
	alerts := orchestrator.Alerts(&r)
	if !slices.ContainsFunc(alerts, func(x volume.Alert) bool { return x.Code == "healing-stopped" }) {
		t.Errorf("nobody is told: %+v", alerts)
	}
	e.deaf = false
	e.start()
	c.pass(time.Minute)
	c.expectOn(v, "a d")
}

func TestCopiesOfARemovedNodeAreMadeAnewAtOnce(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 10*gib)
	a, b := c.nodes[0], c.nodes[1]
	v := a.create("name=db,size=1GiB,replicas=2,nodes=a+b").Volume
	w := a.create("name=free,size=1GiB,replicas=2").Volume
	c.expectOn(w, "a b")
	c.kill(b)
	a.insist(b.remove())
	c.pass(30 * time.Second)
	c.expectOn(v, "a")
	c.expectOn(w, "a c")
	c.check()
}

func TestLostDiskIsHealedOnTheSameNodeIfThatHasAnother(t *testing.T) {
	c := newHealing(t, 1, 5*time.Second, 20*gib, 20*gib)
	a, b := c.nodes[0], c.nodes[1]
	v := a.create("name=db,size=1GiB,replicas=2").Volume
	old := b.disk
	c.kill(b)
	b.disk, b.held, b.deaf = block.DiskID{15: 0x77}, map[block.ReplicaID]block.VolumeID{}, false
	b.start()
	c.pass(90 * time.Second) // its old disk is recorded as missing after a minute
	if m := c.config(v).Members; len(m) != 2 || m[0].Disk == old || m[1].Disk == old || m[0].Node == m[1].Node {
		t.Fatalf("members %+v, of which one was on disk %v", m, old)
	}
}
