package main

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// ownDisk returns the disk of a node that has one.
func ownDisk(t *testing.T, n *cluster.Node) api.Disk {
	t.Helper()
	all, err := n.Client().Disks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(d api.Disk) bool { return d.Node == n.Name })
	if i < 0 {
		t.Fatalf("node %s has no disk", n.Name)
	}
	return all[i]
}

// placesOf returns where a disk's file has a block.
func placesOf(t *testing.T, path string, content []byte) (at []int64) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+block.Size <= len(file); i += block.Size {
		if bytes.Equal(file[i:i+block.Size], content) {
			at = append(at, int64(i))
		}
	}
	return at
}

// rot flips a bit of each place.
func rot(t *testing.T, path string, places []int64, content []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range places {
		_, err = file.WriteAt([]byte{content[7] ^ 1}, at+7)
	}
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		t.Fatal(err)
	}
}

// What rots on a disk, of a volume or of a snapshot, is found by a scrub that any
// node asks for, and is on the disk again as it was.
func TestE2EWhatRotsIsRepairedByAScrub(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b")
	up(t, c)
	a, b := c.Node("a"), c.Node("b")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	attach(t, a, "db", api.Attach{})
	was, is := random(mebi), random(mebi/2)
	fill(t, a, "db", was)
	lagan(t, a, "snapshot", "create", "db", "monday")
	fill(t, a, "db", is)
	untilUsage(t, c, "db", "all is in its place", func(u *api.Usage) bool { return u.Used == mebi+mebi/2 })
	d := ownDisk(t, b)
	blocks := map[string][]byte{
		"of the snapshot": was[:block.Size], "of both": was[mebi-block.Size:], "of the volume": is[block.Size : 2*block.Size],
	}
	for what, content := range blocks { // any order: each is damaged
		places := placesOf(t, d.Path, content)
		if len(places) == 0 {
			t.Fatalf("the block %s is not on the disk", what)
		}
		rot(t, d.Path, places, content)
	}
	out := lagan(t, a, "disk", "scrub", d.ID, "--wait")
	if !strings.Contains(out, "the scrub of disk "+d.ID+" is over") {
		t.Errorf("it says %s", out)
	}
	for what, content := range blocks { // any order: each is waited for
		until(t, c, "the block "+what+" is on the disk again", func() (bool, error) { return len(placesOf(t, d.Path, content)) > 0, nil })
	}
	if s := ownDisk(t, b).Scrub; s == nil || s.Running || s.DamagedChunks < 3 || s.Ended == "" || s.Next == "" {
		t.Errorf("the disk says of its scrub: %+v", s)
	}
	wantContent(t, a, "db", 0, is)
}

// A scrub is listed by its node, and broken off by any.
func TestE2EScrubIsAnOperation(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b")
	c.Node("b").SetArguments("--scrub-rate", "64KiB")
	up(t, c)
	a, b := c.Node("a"), c.Node("b")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	attach(t, a, "db", api.Attach{})
	fill(t, a, "db", random(4*mebi))
	untilUsage(t, c, "db", "all is in its place", func(u *api.Usage) bool { return u.Used == 4*mebi })
	d := ownDisk(t, b)
	o, err := a.Client().ScrubDisk(t.Context(), d.ID)
	if err != nil || o.Kind != "scrub" || o.Node != "b" || o.Disk != d.ID || !o.Cancellable {
		t.Fatalf("%+v, %v", o, err)
	}
	if again, err := b.Client().ScrubDisk(t.Context(), d.Path); err != nil || again.ID != o.ID || again.Since != o.Since {
		t.Errorf("the same again is %+v, %v", again, err)
	}
	until(t, c, "it is listed with its progress, and known to the other node", func() (bool, error) {
		all, err := b.Client().Operations(t.Context())
		listed := len(all) == 1 && all[0].ID == o.ID && all[0].Total > 0
		one, oneErr := a.Client().Operation(t.Context(), o.ID)
		return listed && one.Total > 0, errors.Join(err, oneErr)
	})
	lagan(t, a, "operation", "cancel", o.ID)
	if _, err := a.Client().Operation(t.Context(), o.ID); !errors.Is(err, volume.ErrOperationNotFound) {
		t.Errorf("it was broken off, and: %v", err)
	}
	if s := ownDisk(t, b).Scrub; s == nil || s.Running || s.Ended != "" {
		t.Errorf("the disk says of its scrub: %+v", s)
	}
}
