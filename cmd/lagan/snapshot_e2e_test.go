package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// lagan runs a command of a node and insists that it is done.
func lagan(t *testing.T, n *cluster.Node, arguments ...string) string {
	t.Helper()
	out, err := n.Lagan(t.Context(), nil, arguments...)
	if err != nil {
		t.Fatalf("lagan %s: %v", strings.Join(arguments, " "), err)
	}
	return string(out)
}

// fill writes content at the beginning of a volume that is attached to a node.
func fill(t *testing.T, n *cluster.Node, name string, content []byte) {
	t.Helper()
	if _, err := n.Client().WriteBlocks(t.Context(), name, 0, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func detach(t *testing.T, n *cluster.Node, name string) {
	t.Helper()
	if err := n.Client().Detach(t.Context(), name, false); err != nil {
		t.Fatal(err)
	}
}

// snapshotNames lists those of a volume that are in a state.
func snapshotNames(t *testing.T, n *cluster.Node, name, state string) (names []string) {
	t.Helper()
	all, err := n.Client().Snapshots(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.State == state {
			names = append(names, s.Name)
		}
	}
	return names
}

func TestE2ESnapshotsAreTakenGoneBackToAndDeleted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b", "c")
	up(t, c)
	a, b, other := c.Node("a"), c.Node("b"), c.Node("c")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	attach(t, a, "db", api.Attach{})
	first, second := random(mebi), random(mebi)
	fill(t, a, "db", first)
	lagan(t, other, "snapshot", "create", "db", "monday") // a node that has nothing to do with it
	fill(t, a, "db", second)
	if err := b.Client().Delete(t.Context(), "db"); !errors.Is(err, volume.ErrHasSnapshots) {
		t.Errorf("deleted with a snapshot: %v", err)
	}
	if _, err := b.Client().Restore(t.Context(), "db", "monday", false); !errors.Is(err, volume.ErrAttached) {
		t.Errorf("restored while attached: %v", err)
	}
	detach(t, a, "db")
	lagan(t, b, "snapshot", "create", "db", "tuesday") // nobody has it
	restored := lagan(t, other, "snapshot", "restore", "db", "monday")
	if !strings.Contains(restored, "volume db is what snapshot monday is; what it was before is snapshot before-restore-of-monday-") {
		t.Errorf("restored: %s", restored)
	}
	attach(t, b, "db", api.Attach{})
	wantContent(t, b, "db", 0, first)
	detach(t, b, "db")
	if r, err := a.Client().Restore(t.Context(), "db", "tuesday", true); err != nil || r.Kept != "" {
		t.Errorf("restored to tuesday: %+v, %v", r, err)
	}
	attach(t, b, "db", api.Attach{})
	wantContent(t, b, "db", 0, second)
	names := snapshotNames(t, a, "db", "ready")
	if len(names) != 3 || names[0] != "monday" || names[1] != "tuesday" {
		t.Errorf("snapshots: %v", names)
	}
	for _, name := range names {
		lagan(t, other, "snapshot", "rm", "db", name)
	}
	wantContent(t, b, "db", 0, second)
	if err := b.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, c, "another node takes it over", func() (bool, error) {
		_, err := a.Client().Attach(t.Context(), "db", api.Attach{})
		return err == nil, err
	})
	wantContent(t, a, "db", 0, second)
	detach(t, a, "db")
	if err := a.Client().Delete(t.Context(), "db"); err != nil {
		t.Error(err)
	}
}

func TestE2ESnapshotsAreTakenBySchedule(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b")
	up(t, c)
	a, b := c.Node("a"), c.Node("b")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2", "snapshot_schedule": "every=10s/2"})
	create(t, a, "idle", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	lagan(t, a, "volume", "set", "idle", "--snapshot-schedule", "every=10s/1")
	attach(t, b, "db", api.Attach{})
	seen := map[string]bool{}
	until(t, c, "three snapshots were taken and the newest two are kept", func() (bool, error) {
		names := snapshotNames(t, a, "db", "ready")
		for _, name := range names {
			seen[name] = true
		}
		return len(seen) >= 3 && len(names) == 2, nil
	})
	until(t, c, "a volume that nobody has is snapshotted, too", func() (bool, error) {
		v, err := a.Client().Volume(t.Context(), "idle")
		return len(snapshotNames(t, a, "idle", "ready")) == 1 && v.Status.Attachment == nil, err
	})
	lagan(t, a, "volume", "set", "db", "--snapshot-schedule", "none")
	detach(t, b, "db")
	if err := a.Client().DeleteAll(t.Context(), "db"); err != nil {
		t.Error(err)
	}
}

func TestE2EClonesAreWhatTheirSnapshotsAre(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b", "c")
	up(t, c)
	a, b, other := c.Node("a"), c.Node("b"), c.Node("c")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	attach(t, a, "db", api.Attach{})
	first, second, third := random(mebi), random(mebi), random(mebi)
	fill(t, a, "db", first)
	lagan(t, b, "snapshot", "create", "db", "monday")
	fill(t, a, "db", second)
	lagan(t, other, "volume", "clone", "db@monday", "was")
	lagan(t, other, "volume", "clone", "db", "is")
	fill(t, a, "db", third)
	attach(t, b, "was", api.Attach{})
	wantContent(t, b, "was", 0, first)
	attach(t, other, "is", api.Attach{})
	wantContent(t, other, "is", 0, second)
	fill(t, b, "was", third)
	wantContent(t, other, "is", 0, second)
	wantContent(t, a, "db", 0, third)
	until(t, c, "the clones are independent", func() (bool, error) {
		return b.Client().DeleteSnapshot(t.Context(), "db", "monday") == nil, nil
	})
	detach(t, a, "db")
	if err := a.Client().DeleteAll(t.Context(), "db"); err != nil {
		t.Error(err)
	}
	for _, n := range []*cluster.Node{b, other} {
		if err := n.Kill(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	start(t, c, "b", "c")
	until(t, c, "the clones can be used", func() (bool, error) {
		_, err := a.Client().Attach(t.Context(), "was", api.Attach{})
		_, otherErr := b.Client().Attach(t.Context(), "is", api.Attach{})
		return err == nil && otherErr == nil, errors.Join(err, otherErr)
	})
	wantContent(t, a, "was", 0, third)
	wantContent(t, b, "is", 0, second)
	if all, err := a.Client().Volumes(t.Context()); err != nil || slices.ContainsFunc(all, func(v api.Volume) bool { return v.Name == "db" }) {
		t.Errorf("%+v, %v", all, err)
	}
}

// What a volume and its snapshots take is exact on every node that has a copy, and
// what a deletion frees is what was said before.
func TestE2ESpaceOfSnapshotsIsShown(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b")
	up(t, c)
	a := c.Node("a")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	attach(t, a, "db", api.Attach{})
	volumeHas := func(name string, want api.Usage) {
		t.Helper()
		untilUsage(t, c, name, "what volume "+name+" takes is shown", func(u *api.Usage) bool { return *u == want })
	}
	snapshotHas := func(want api.Usage) {
		t.Helper()
		until(t, c, "what the snapshot takes is shown", func() (bool, error) {
			all, err := c.Node("b").Client().Snapshots(t.Context(), "db")
			return err == nil && len(all) == 1 && all[0].Usage != nil && *all[0].Usage == want, err
		})
	}
	fill(t, a, "db", random(2*mebi))
	volumeHas("db", api.Usage{Used: 2 * mebi, Exclusive: 2 * mebi})
	lagan(t, a, "snapshot", "create", "db", "monday")
	snapshotHas(api.Usage{Used: 2 * mebi, Shared: 2 * mebi})
	fill(t, a, "db", random(mebi))
	volumeHas("db", api.Usage{Used: 3 * mebi, Exclusive: 3 * mebi})
	snapshotHas(api.Usage{Used: 2 * mebi, Exclusive: mebi, Shared: mebi})

	lagan(t, a, "volume", "clone", "db@monday", "was")
	volumeHas("db", api.Usage{Used: 3 * mebi, Exclusive: mebi, Shared: 2 * mebi})
	volumeHas("was", api.Usage{Used: 2 * mebi, Shared: 2 * mebi})
	snapshotHas(api.Usage{Used: 2 * mebi, Shared: 2 * mebi})
	until(t, c, "the clone may go", func() (bool, error) {
		return a.Client().Delete(t.Context(), "was") == nil, nil
	})
	snapshotHas(api.Usage{Used: 2 * mebi, Exclusive: mebi, Shared: mebi})
	if table := lagan(t, a, "snapshot", "ls", "db"); !strings.Contains(table, "2 MiB   1 MiB") {
		t.Errorf("the table says %s", table)
	}

	lagan(t, a, "snapshot", "rm", "db", "monday")
	volumeHas("db", api.Usage{Used: 2 * mebi, Exclusive: 2 * mebi})
	if table := lagan(t, a, "volume", "ls"); !strings.Contains(table, "16 MiB   2 MiB") {
		t.Errorf("the table says %s", table)
	}
}

// A clone outlives what it was made from: what both had becomes its own.
func TestE2EOriginIsDeletedUnderItsClone(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b")
	up(t, c)
	a, b := c.Node("a"), c.Node("b")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	attach(t, a, "db", api.Attach{})
	was, mine := random(2*mebi), random(mebi/2)
	fill(t, a, "db", was)
	lagan(t, a, "snapshot", "create", "db", "monday")
	fill(t, a, "db", random(mebi))
	lagan(t, b, "volume", "clone", "db@monday", "copy")
	attach(t, b, "copy", api.Attach{})
	fill(t, b, "copy", mine)
	detach(t, a, "db")
	until(t, c, "the origin may go", func() (bool, error) {
		err := a.Client().DeleteAll(t.Context(), "db")
		return err == nil, err
	})
	holds := func(n *cluster.Node) {
		t.Helper()
		wantContent(t, n, "copy", 0, mine)
		wantContent(t, n, "copy", mebi/2, was[mebi/2:])
	}
	holds(b)
	untilUsage(t, c, "copy", "all that it has is its own", func(u *api.Usage) bool { return *u == api.Usage{Used: 2 * mebi, Exclusive: 2 * mebi} })
	holds(b)
	if err := b.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, c, "another node takes the clone over", func() (bool, error) {
		_, err := a.Client().Attach(t.Context(), "copy", api.Attach{})
		return err == nil, err
	})
	holds(a)
}
