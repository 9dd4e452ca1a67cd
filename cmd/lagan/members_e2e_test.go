package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/transport/identity"
)

// awaitSilent waits until a node knows that another is not heard from.
func awaitSilent(t *testing.T, c *cluster.Cluster, by *cluster.Node, name string) {
	t.Helper()
	until(t, c, "node "+name+" is missed", func() (bool, error) {
		n, err := by.Client().Node(t.Context(), name)
		return err == nil && !n.Alive, err
	})
}

// promisedOn returns the bytes that are promised on the disks of every node.
func promisedOn(t *testing.T, n *cluster.Node) (map[string]int64, error) {
	t.Helper()
	disks, err := n.Client().Disks(t.Context())
	promised := map[string]int64{}
	for _, d := range disks {
		promised[d.Node] += d.Promised
	}
	return promised, err
}

func wantPromised(t *testing.T, n *cluster.Node, want map[string]int64) {
	t.Helper()
	got, err := promisedOn(t, n)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("promised on the nodes' disks is %v, %v; want %v", got, err, want)
	}
}

// alertCodes returns the alerts of a node, code and subject.
func alertCodes(t *testing.T, n *cluster.Node) (codes []string) {
	t.Helper()
	alerts, err := n.Client().Alerts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts {
		codes = append(codes, a.Code+" "+a.Subject)
	}
	return codes
}

func TestE2EDeletionWithANodeDownIsDoneWhenItReturns(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b", "c")
	up(t, c)
	a, b := c.Node("a"), c.Node("b")
	empty := map[string]int64{} // bytes free on every disk
	disks, err := a.Client().Disks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range disks {
		empty[d.ID] = d.Free
	}
	create(t, a, "gone", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2", "nodes": "a+b"})
	create(t, a, "kept", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2", "nodes": "b+c"})
	attach(t, a, "gone", api.Attach{})
	if _, err := a.Client().WriteBlocks(t.Context(), "gone", 0, bytes.NewReader(random(8*mebi))); err != nil {
		t.Fatal(err)
	}
	if err := a.Client().Detach(t.Context(), "gone", false); err != nil {
		t.Fatal(err)
	}
	if err := b.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Client().Delete(t.Context(), "gone"); err != nil {
		t.Fatalf("deleting with a copy on a node that is down: %v", err)
	}
	wantPromised(t, a, map[string]int64{"a": 0, "b": 16 * mebi, "c": 16 * mebi})
	create(t, a, "gone", map[string]string{"size": "32MiB", "fs": "none", "replicas": "1", "nodes": "a"})
	awaitSilent(t, c, a, "b")
	if codes := alertCodes(t, a); !slices.Contains(codes, "deletion-waiting gone") || !slices.Contains(codes, "node-silent b") {
		t.Errorf("the alerts are %q", codes)
	}
	start(t, c, "b")
	until(t, c, "the deletion has come to its end", func() (bool, error) {
		volumes, err := a.Client().Volumes(t.Context())
		return len(volumes) == 2 && !slices.ContainsFunc(volumes, func(v api.Volume) bool { return v.Status.Health == "deleting" }), err
	})
	wantPromised(t, a, map[string]int64{"a": 32 * mebi, "b": 16 * mebi, "c": 16 * mebi})
	until(t, c, "the space of its copies is free", func() (bool, error) {
		disks, err := a.Client().Disks(t.Context())
		return !slices.ContainsFunc(disks, func(d api.Disk) bool { return d.Free < empty[d.ID]-mebi }), err
	})
	until(t, c, "no alert is left", func() (bool, error) { return len(alertCodes(t, a)) == 0, nil })
}

func TestE2ERemovedNodeIsReplacedAndTold(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b", "c", "d")
	up(t, c)
	a, b, dead, d := c.Node("a"), c.Node("b"), c.Node("c"), c.Node("d")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2", "nodes": "b+c"})
	create(t, a, "only", map[string]string{"size": "16MiB", "fs": "none", "replicas": "1", "nodes": "c"})
	create(t, a, "gone", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2", "nodes": "a+c"})
	attach(t, b, "db", api.Attach{})
	attach(t, dead, "only", api.Attach{})
	content := random(mebi)
	if _, err := b.Client().WriteBlocks(t.Context(), "db", 0, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	refused := func(name, want string) {
		t.Helper()
		if err := a.Client().RemoveNode(t.Context(), name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("removing node %s: %v, want %q", name, err, want)
		}
	}
	refused("c", "lagan down")
	refused("a", "another node")
	refused("z", "lagan node ls")
	if err := dead.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitSilent(t, c, a, "c")
	if err := a.Client().Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	refused("c", "only")
	if err := a.Client().Detach(t.Context(), "only", true); err != nil {
		t.Fatal(err)
	}
	if err := a.Client().Delete(t.Context(), "only"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first answer may have been lost
		if err := d.Client().RemoveNode(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
	}
	until(t, c, "nothing waits for it any more", func() (bool, error) {
		nodes, err := a.Client().Nodes(t.Context())
		volumes, volumesErr := a.Client().Volumes(t.Context())
		return len(nodes) == 3 && len(volumes) == 1 && len(volumes[0].Status.Replicas) == 1, errors.Join(err, volumesErr)
	})
	wantPromised(t, a, map[string]int64{"a": 0, "b": 16 * mebi, "d": 0})
	until(t, c, "three others vote", func() (bool, error) {
		nodes, err := a.Client().Nodes(t.Context())
		return len(nodes) == 3 && !slices.ContainsFunc(nodes, func(n api.Node) bool { return !n.Votes }), err
	})
	for _, name := range []string{"a", "b", "d"} {
		awaitVoters(t, c, name, 3)
	}
	if _, err := b.Client().WriteBlocks(t.Context(), "db", mebi, bytes.NewReader(content)); err != nil {
		t.Error(err)
	}
	wantContent(t, b, "db", 0, content)
	wantTold(t, c, dead)
	// As one of the three may be lost again, the first goes.
	if err := a.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	create(t, d, "more", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2", "nodes": "b+d"})
	// The machine is set up anew, and has its name again.
	for _, path := range []string{dead.Dir(), filepath.Join(filepath.Dir(dead.Dir()), "c.disk")} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	start(t, c, "c")
	until(t, c, "it is a node again", func() (bool, error) {
		n, err := d.Client().Node(t.Context(), "c")
		return err == nil && n.Alive, err
	})
	start(t, c, "a")
	if err := b.Client().Detach(t.Context(), "db", false); err != nil { // while there is a majority
		t.Error(err)
	}
}

// wantTold starts a node that was removed: it says so, and stops.
func wantTold(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	t.Helper()
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, c, "it has stopped", func() (bool, error) { return !n.Running(), nil })
	for _, say := range []string{"node " + n.Name + " was removed from the cluster", "lagan join", n.Dir()} {
		if text := n.Tail(); n.Outcome() == nil || !strings.Contains(text, say) {
			t.Errorf("it ended with %v and does not say %q: %s", n.Outcome(), say, text)
		}
	}
	if nodes, err := c.Node("b").Client().Nodes(t.Context()); err != nil || len(nodes) != 3 {
		t.Errorf("nodes after it has returned: %+v, %v", nodes, err)
	}
	if _, _, err := datadir.Lookup(n.Dir()); errors.Is(err, fs.ErrNotExist) {
		t.Error("its directory is gone, and with it what it might still be needed for")
	}
}

func TestE2EOneOfTwoNodesThatAreLeftMayFail(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b", "c")
	up(t, c)
	a := c.Node("a")
	if err := c.Node("c").Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitSilent(t, c, a, "c")
	if codes := alertCodes(t, a); !slices.Contains(codes, "voters-silent metadata store") {
		t.Errorf("the alerts are %q", codes)
	}
	if err := a.Client().RemoveNode(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	voter, other := "", ""
	until(t, c, "one of the two votes alone", func() (bool, error) {
		nodes, err := a.Client().Nodes(t.Context())
		voting := 0
		for _, n := range nodes {
			if n.Votes {
				voter = n.Name
				voting++
			} else {
				other = n.Name
			}
		}
		return voting == 1 && len(nodes) == 2, err
	})
	awaitVoters(t, c, other, 1)
	if err := c.Node(other).Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	create(t, c.Node(voter), "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "1", "nodes": voter})
	start(t, c, other)
	until(t, c, "the other is heard from again", func() (bool, error) {
		n, err := c.Node(voter).Client().Node(t.Context(), other)
		return n.Alive, err
	})
	if codes := alertCodes(t, c.Node(other)); !slices.Equal(codes, []string{"voters-few metadata store"}) {
		t.Errorf("the alerts are %q", codes)
	}
}

// A machine that was admitted and never started has a name, and nothing else.
func TestE2ENodeThatNeverStartedMayBeRemoved(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a")
	start(t, c, "a")
	a := c.Node("a")
	made, err := a.Client().CreateToken(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	token, err := identity.ParseToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	_, request, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	join := func(port string) (api.Joined, error) {
		return a.Client().Join(t.Context(), api.Join{
			TokenID: token.ID, TokenSecret: token.Secret, Name: "ghost", Request: string(request),
			API: "10.0.0.9:" + port, EtcdPeer: "10.0.0.9:1" + port, EtcdClient: "10.0.0.9:2" + port,
		})
	}
	first, err := join("1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := join("1"); err != nil || again.Node != first.Node {
		t.Errorf("the same request again: %+v, %v", again, err)
	}
	if _, err := join("2"); err == nil || !strings.Contains(err.Error(), "lagan node rm ghost") {
		t.Errorf("another machine of that name: %v", err)
	}
	if err := a.Client().RemoveNode(t.Context(), "ghost"); err != nil {
		t.Fatal(err)
	}
	if second, err := join("2"); err != nil || second.Node == first.Node {
		t.Errorf("the name after its removal: %+v, %v", second, err)
	}
}
