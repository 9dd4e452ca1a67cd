package orchestrator_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// remove is the command that removes a node.
func (m *machine) remove() volume.Command {
	return volume.Command{Kind: volume.RemoveNode, Node: m.record.ID, Name: m.record.Name}
}

// insist fails the test unless a command is carried out.
func (m *machine) insist(command volume.Command) {
	m.c.t.Helper()
	if a := m.do(command); a.Err != nil {
		m.c.t.Fatal(a.Err)
	}
}

func TestRemovedNodeLeavesNoRecord(t *testing.T) {
	for seed := range uint64(30) {
		c := newCluster(t, seed, 20*gib, 20*gib, 20*gib)
		away := c.nodes[2]
		kept := c.nodes[0].create("name=kept,size=1GiB,replicas=2,nodes=a+c")
		gone := c.nodes[0].create("name=gone,size=2GiB,replicas=2,nodes=b+c")
		away.insist(volume.Command{Kind: volume.AttachVolume, Name: "kept"})
		c.kill(away)
		c.nodes[1].insist(volume.Command{Kind: volume.DeleteVolume, Name: "gone"})
		if c.config(gone.Volume) == nil {
			t.Fatal("the deletion does not wait for the node that is away")
		}
		c.unknown = int(seed)
		c.nodes[seed%2].insist(away.remove())
		c.unknown = 0
		c.pass(3e9)
		if c.config(gone.Volume) != nil {
			t.Error("the deletion waits for a node that was removed")
		}
		if c.attachedTo(kept.Volume) != -1 {
			t.Error("the volume is attached to a node that was removed")
		}
		c.check()
		c.nodes[0].insist(away.remove()) // the answer may have been lost
		c.nodes[0].insist(volume.Command{Kind: volume.DeleteVolume, Name: "kept"})
		c.pass(3e9)
		c.check()
		if left := len(c.items); left != 2*3+1 {
			t.Errorf("seed %d: %d records are left: %v", seed, left, slices.Sorted(maps.Keys(c.items)))
		}
	}
}

func TestRemovalIsRefusedWhileItWouldLoseSomething(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	a, b := c.nodes[0], c.nodes[1]
	a.create("name=both,size=1GiB,replicas=2")
	v := a.create("name=only,size=1GiB,replicas=2")
	a.create("name=here,size=1GiB,replicas=1,nodes=a")
	c.setState(v.Volume, a, volume.Out)
	for _, refused := range []struct {
		command volume.Command
		kind    error
		says    string
	}{
		{b.remove(), volume.ErrNodeAlive, "lagan down"},
		{a.remove(), volume.ErrNodeAlive, "another node"},
	} {
		answer := a.do(refused.command)
		want(t, answer, refused.kind)
		if !strings.Contains(answer.Err.Error(), refused.says) {
			t.Errorf("%v does not say %q", answer.Err, refused.says)
		}
	}
	c.kill(b)
	before := c.revision()
	answer := a.do(b.remove())
	want(t, answer, volume.ErrLastCopy)
	if text := answer.Err.Error(); !strings.Contains(text, "volumes: only\n") || !strings.Contains(text, "start node b again") {
		t.Errorf("it does not name the volume and what to do: %v", text)
	}
	if c.revision() != before {
		t.Error("a refused removal wrote something")
	}
	a.insist(volume.Command{Kind: volume.DeleteVolume, Name: "only"})
	a.insist(b.remove())
	c.pass(3e9)
	c.check()
}

// setState changes the state of a volume's copy on a node, as its coordinator would.
func (c *cluster) setState(id block.VolumeID, on *machine, state volume.State) {
	c.t.Helper()
	next := c.config(id)
	next.Epoch++
	for i := range next.Members {
		if next.Members[i].Node == on.record.ID {
			next.Members[i].State = state
		}
	}
	c.set(0, configOp(next), c.revision()+1)
	c.run()
}

func TestRemovalHeedsACopyThatFellBehindUnseen(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	a, b := c.nodes[0], c.nodes[1]
	v := a.create("name=db,size=1GiB,replicas=2")
	c.kill(b)
	c.run()
	a.deaf = true // it hears of no change any more, but of its transactions
	c.setState(v.Volume, a, volume.Out)
	want(t, a.do(b.remove()), volume.ErrLastCopy)
	a.deaf = false
	c.run()
}

func TestNodeThatWasRemovedIsToldAndRecordsNothing(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 20*gib)
	away := c.nodes[2]
	c.nodes[0].create("name=db,size=1GiB,replicas=2,nodes=a+c")
	c.kill(away)
	c.nodes[0].idle = true // its session does not drop the copy yet
	c.nodes[0].insist(away.remove())
	away.deaf, away.sent = false, nil
	away.start()
	c.pass(70e9) // its disk would be recorded as missing by now
	told := 0
	for _, control := range away.sent {
		if control.Kind == step.NodeEnded {
			told++
		}
	}
	if told != 1 {
		t.Errorf("it was told %d times that it was removed", told)
	}
	if len(away.held) != 1 {
		t.Error("it freed a copy that is recorded")
	}
	c.check()
}

// A node that was paused while it was removed writes what it decided before.
func TestWhatANodeDecidedBeforeItsRemovalIsNotRecordedAfterIt(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	away := c.nodes[1]
	away.size = 0
	c.kill(away)
	c.run()
	away.deaf = false
	away.start()
	for len(away.timers) == 0 || len(away.queue) > 0 || away.watched < 0 {
		all := c.choices()
		if len(all) == 0 {
			break
		}
		all[0]()
		if len(away.queue) > 0 && away.watched >= 0 {
			break // its records are on their way
		}
	}
	c.nodes[0].deaf, away.deaf = false, true
	queue := away.queue
	away.queue = nil
	c.run()
	c.nodes[0].insist(away.remove())
	away.queue, away.deaf = queue, false
	c.pass(2e9)
	c.check()
}

func TestTheNextNodeClearsUpWhenTheFirstOneDies(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 20*gib)
	away := c.nodes[2]
	v := c.nodes[1].create("name=db,size=1GiB,replicas=2,nodes=b+c")
	away.insist(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	c.kill(away)
	c.run()
	c.nodes[0].deaf = true // the first one has a lease and does nothing
	c.nodes[1].insist(away.remove())
	c.pass(2e9)
	if c.attachedTo(v.Volume) != 2 {
		t.Fatal("two nodes do what one should")
	}
	c.kill(c.nodes[0])
	c.pass(2e9)
	if c.attachedTo(v.Volume) != -1 {
		t.Error("nobody gave up the attachment of the removed node")
	}
	c.check()
}

func TestDiskOfARemovedNodeFreesWhatNoRecordLists(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 20*gib)
	a, away := c.nodes[0], c.nodes[2]
	a.create("name=kept,size=1GiB,replicas=2,nodes=a+c")
	dropped := a.create("name=dropped,size=1GiB,replicas=2,nodes=a+c")
	a.create("name=gone,size=1GiB,replicas=2,nodes=a+c")
	c.kill(away)
	a.insist(away.remove())
	a.insist(volume.Command{Kind: volume.DeleteVolume, Name: "gone"})
	next := c.config(dropped.Volume)
	next.Epoch++
	next.Members = slices.DeleteFunc(next.Members, func(m volume.Member) bool { return m.Node == away.record.ID })
	c.set(0, configOp(next), c.revision()+1)
	c.run()

	away.record = volume.Node{ID: block.NodeID{15: 9}, Name: "anew", Address: "x", Version: "test"}
	away.deaf = false
	away.start()
	c.pass(3e9)
	if len(away.held) != 1 {
		t.Errorf("%d copies are held, want that of the volume which still lists it", len(away.held))
	}
	for _, d := range a.o.Disks() {
		if d.ID == away.disk && (d.Promised != 0 || d.Node != away.record.ID) {
			t.Errorf("%+v: the new node's disk was promised to nobody", d)
		}
	}
	a.insist(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=more,size=2GiB,replicas=1,nodes=anew")})
	a.insist(volume.Command{Kind: volume.DeleteVolume, Name: "kept"})
	c.pass(3e9)
	for _, d := range a.o.Disks() {
		if d.ID == away.disk && d.Promised != 2*gib {
			t.Errorf("%+v: it was given back what it never promised", d)
		}
	}
}

func TestDiskOfAnotherClusterFreesNothing(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	m := c.nodes[0]
	m.control(step.Control{Kind: step.ReplicaMade, Disk: m.disk, Volume: block.VolumeID{7}, Replica: block.ReplicaID{7}})
	c.pass(3e9)
	for _, control := range m.sent {
		if control.Kind == step.FreeReplica {
			t.Errorf("%+v: that nothing is recorded of a volume does not say that it was deleted", control)
		}
	}
}

func TestClusterComesToRestWhenANodeIsRemovedInAStorm(t *testing.T) {
	removed := 0
	for seed := range uint64(100) {
		c := newCluster(t, seed, 8*gib, 8*gib, 8*gib)
		c.unknown = int(seed % 30)
		names := []string{"p", "q", "r"}
		away := c.nodes[c.random.IntN(3)]
		for turn := range 40 {
			if turn == 15 {
				c.kill(away)
			}
			m := c.nodes[c.random.IntN(3)]
			if m.deaf {
				continue
			}
			command := volume.Command{
				Kind:  []volume.CommandKind{volume.CreateVolume, volume.AttachVolume, volume.DetachVolume, volume.DeleteVolume}[c.random.IntN(4)],
				Name:  names[c.random.IntN(3)],
				Force: c.random.IntN(3) == 0,
			}
			command.Spec = volume.Spec{Name: command.Name, Size: int64(1+c.random.IntN(3)) * gib, Replicas: 1 + c.random.IntN(2)}
			if turn > 15 && c.random.IntN(3) == 0 {
				command = away.remove()
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
		c.pass(3e9)
		for len(c.late) > 0 {
			c.arrive(100)
			c.run()
		}
		c.pass(40e9)
		if c.removed(away) {
			removed++
		}
		away.deaf = false
		away.start()
		c.pass(3e9)
		c.check()
		if t.Failed() {
			t.Fatalf("seed %d: %v", seed, c)
		}
	}
	if removed < 20 {
		t.Errorf("the node was removed in %d of 100 runs", removed)
	}
}

func TestRemovalIsToldWithTheCopiesThatGo(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	c.nodes[0].create("name=db,size=1GiB,replicas=2")
	c.kill(c.nodes[1])
	c.run()
	c.nodes[0].told()
	c.nodes[0].insist(c.nodes[1].remove())
	text := ""
	for _, e := range c.nodes[0].events {
		text += e.Text + "\n"
	}
	if want := "node b was removed from the cluster\ndisk 00000000000000000000000000000012 of node b was removed\nvolume db has 1 of 2 copies in sync, the one on node b went with it\n"; text != want {
		t.Errorf("told %q, want %q", text, want)
	}
	if tally := c.nodes[0].o.Tally(); tally[volume.Degraded] != 1 {
		t.Errorf("counted %v", tally)
	}
}

func TestErrorOfALastCopyNamesAFew(t *testing.T) {
	c := newCluster(t, 1, 90*gib, 90*gib)
	for i := range 12 {
		c.nodes[0].create("name=v" + string(rune('a'+i)) + ",size=1GiB,replicas=1,nodes=b")
	}
	c.kill(c.nodes[1])
	a := c.nodes[0].do(c.nodes[1].remove())
	if !errors.Is(a.Err, volume.ErrLastCopy) || !strings.Contains(a.Err.Error(), "va, vb, ") || !strings.Contains(a.Err.Error(), " and 2 more") {
		t.Error(a.Err)
	}
}
