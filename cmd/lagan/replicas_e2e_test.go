package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// writer writes to a volume again and again, always durably, until it is stopped.
type writer struct {
	node   *cluster.Node
	name   string
	end    context.CancelFunc
	group  sync.WaitGroup
	pieces [16][]byte // by place: what was acknowledged last
	rounds int
	err    error
}

const pieceBytes = 64 << 10

func startWriter(t *testing.T, n *cluster.Node, name string) *writer {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	w := &writer{node: n, name: name, end: end}
	w.group.Go(func() {
		for ctx.Err() == nil {
			at := w.rounds % len(w.pieces)
			data := bytes.Repeat(fmt.Appendf(nil, "%16d", w.rounds), pieceBytes/16)
			if _, err := n.Client().WriteBlocks(t.Context(), name, int64(at)*pieceBytes, bytes.NewReader(data)); err != nil {
				w.err = err
				return
			}
			w.pieces[at] = data
			w.rounds++
		}
	})
	t.Cleanup(func() { end(); w.group.Wait() })
	return w
}

// stop ends it and insists that every write was answered and is there.
func (w *writer) stop(t *testing.T) {
	t.Helper()
	w.end()
	w.group.Wait()
	if w.err != nil {
		t.Fatalf("writing failed: %v", w.err)
	}
	w.wantOn(t, w.node)
	t.Logf("%d writes of %d KiB meanwhile", w.rounds, pieceBytes>>10)
}

func (w *writer) wantOn(t *testing.T, n *cluster.Node) {
	t.Helper()
	for at, data := range w.pieces {
		wantContent(t, n, w.name, int64(at)*pieceBytes, data)
	}
}

// untilCopies waits until a volume has copies on these nodes alone, all in sync,
// and nothing is under way.
func untilCopies(t *testing.T, c *cluster.Cluster, by *cluster.Node, name string, nodes ...string) {
	t.Helper()
	until(t, c, "the copies are on "+strings.Join(nodes, ", "), func() (bool, error) {
		all, err := by.Client().Replicas(t.Context(), name)
		var on []string
		for _, r := range all {
			if r.State != string(volume.InSync) || r.Leaving {
				return false, err
			}
			on = append(on, r.Node)
		}
		slices.Sort(on)
		operations, operationsErr := by.Client().Operations(t.Context())
		return slices.Equal(on, nodes) && len(operations) == 0, errors.Join(err, operationsErr)
	})
}

func TestE2ECopiesMoveUnderWritesAndTheirNumberChanges(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b", "c", "d")
	up(t, c)
	a, b := c.Node("a"), c.Node("b")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2", "nodes": "a+b+c"})
	untilCopies(t, c, a, "db", copyNodes(t, a, "db")...)
	if on := copyNodes(t, a, "db"); !slices.Equal(on, []string{"a", "b"}) {
		from := slices.DeleteFunc(on, func(n string) bool { return n == "a" || n == "b" })[0]
		to := "a"
		if slices.Contains(copyNodes(t, a, "db"), "a") {
			to = "b"
		}
		if _, err := a.Client().MoveReplica(t.Context(), "db", from, to); err != nil {
			t.Fatal(err)
		}
		untilCopies(t, c, a, "db", "a", "b")
	}
	attach(t, a, "db", api.Attach{})
	w := startWriter(t, a, "db")
	if _, err := b.Client().MoveReplica(t.Context(), "db", "b", "c"); err != nil {
		t.Fatal(err)
	}
	untilCopies(t, c, b, "db", "a", "c")
	for _, refused := range []struct {
		kind error
		ask  func() (api.Volume, error)
	}{
		{volume.ErrReplicaExists, func() (api.Volume, error) { return b.Client().MoveReplica(t.Context(), "db", "a", "c") }},
		{volume.ErrReplicaNotFound, func() (api.Volume, error) { return b.Client().RemoveReplica(t.Context(), "db", "b") }},
		{volume.ErrNotLost, func() (api.Volume, error) { return b.Client().RecoverVolume(t.Context(), "db", "a") }},
		{volume.ErrNoPlacement, func() (api.Volume, error) { return b.Client().AddReplica(t.Context(), "db", "d", "") }},
		{volume.ErrNodeNotFound, func() (api.Volume, error) { return b.Client().AddReplica(t.Context(), "db", "z", "") }},
	} {
		if _, err := refused.ask(); !errors.Is(err, refused.kind) {
			t.Errorf("answered %v, want %v", err, refused.kind)
		}
	}
	for _, change := range []struct{ replicas, on string }{{"3", "a b c"}, {"1", "a"}, {"2", ""}} {
		if _, err := b.Client().Set(t.Context(), "db", map[string]string{"replicas": change.replicas}); err != nil {
			t.Fatal(err)
		}
		if change.on != "" {
			untilCopies(t, c, b, "db", strings.Fields(change.on)...)
		}
	}
	until(t, c, "there are two copies", func() (bool, error) {
		all, err := b.Client().Replicas(t.Context(), "db")
		return len(all) == 2 && all[0].State == all[1].State, err
	})
	w.stop(t)
	wantPromisedAt(t, c, b, "db")
}

// copyNodes returns the nodes with a copy of a volume, sorted.
func copyNodes(t *testing.T, n *cluster.Node, name string) (on []string) {
	t.Helper()
	all, err := n.Client().Replicas(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		on = append(on, r.Node)
	}
	slices.Sort(on)
	return on
}

// wantPromisedAt waits until no disk promises anything but to the copies of the
// only volume.
func wantPromisedAt(t *testing.T, c *cluster.Cluster, n *cluster.Node, name string) {
	t.Helper()
	until(t, c, "only the copies that are there are promised space", func() (bool, error) {
		v, err := n.Client().Volume(t.Context(), name)
		if err != nil {
			return false, err
		}
		promised, err := promisedOn(t, n)
		for node, bytes := range promised {
			want := int64(0)
			if slices.Contains(copyNodes(t, n, name), node) {
				want = v.Spec.Size
			}
			if bytes != want {
				return false, err
			}
		}
		return true, err
	})
}

func TestE2EVolumeHealsWhenANodeDies(t *testing.T) {
	t.Parallel()
	c := newClusterWith(t, []string{"LAGAN_HEAL_AFTER=5s"}, "128MiB", "a", "b", "c", "d")
	up(t, c)
	a := c.Node("a")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	create(t, a, "idle", map[string]string{"size": "16MiB", "fs": "none", "replicas": "3"})
	on := copyNodes(t, a, "db")
	lost := on[1]
	if lost == "a" {
		lost = on[0]
	}
	attach(t, a, "idle", api.Attach{})
	content := random(4 * mebi)
	if _, err := a.Client().WriteBlocks(t.Context(), "idle", 0, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := a.Client().Detach(t.Context(), "idle", false); err != nil {
		t.Fatal(err)
	}
	attach(t, a, "db", api.Attach{})
	w := startWriter(t, a, "db")
	if err := c.Node(lost).Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db", "idle"} {
		until(t, c, "volume "+name+" has all its copies, none on the dead node", func() (bool, error) {
			v, err := a.Client().Volume(t.Context(), name)
			return err == nil && v.Status.Health == string(volume.Healthy) && !slices.Contains(copyNodes(t, a, name), lost), err
		})
	}
	w.stop(t)
	start(t, c, lost)
	attach(t, a, "idle", api.Attach{})
	wantContent(t, a, "idle", 0, content)
	until(t, c, "no alert is left", func() (bool, error) { return len(alertCodes(t, a)) == 0, nil })
}

func TestE2ELossOfTheNewestCopyIsAcceptedByAPerson(t *testing.T) {
	t.Parallel()
	c := newClusterWith(t, nil, "128MiB", "a", "b", "c")
	up(t, c)
	create(t, c.Node("a"), "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	on := copyNodes(t, c.Node("a"), "db")
	i := slices.IndexFunc([]string{"a", "b", "c"}, func(n string) bool { return !slices.Contains(on, n) })
	user := c.Node([]string{"a", "b", "c"}[i])
	attach(t, user, "db", api.Attach{})
	content, late := random(mebi), random(mebi)
	write := func(data []byte) {
		t.Helper()
		if _, err := user.Client().WriteBlocks(t.Context(), "db", 0, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	write(content)
	if err := c.Node(on[1]).Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(late)
	if err := c.Node(on[0]).Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, c, on[1])
	until(t, c, "the volume is recovered from what is left", func() (bool, error) {
		_, err := user.Client().RecoverVolume(t.Context(), "db", on[1])
		if errors.Is(err, volume.ErrNotLost) { // the dead one has not been missed yet
			return false, nil
		}
		return err == nil, err
	})
	until(t, c, "it is not attached any more", func() (bool, error) {
		v, err := user.Client().Volume(t.Context(), "db")
		return err == nil && v.Status.Attachment == nil, err
	})
	attach(t, user, "db", api.Attach{})
	wantContent(t, user, "db", 0, content)
	start(t, c, on[0])
	untilCopies(t, c, user, "db", slices.Sorted(slices.Values(on))...)
	wantContent(t, user, "db", 0, content)
}
