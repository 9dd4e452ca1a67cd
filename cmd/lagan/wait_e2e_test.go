package main

import (
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
)

func TestE2ERemovalWaitsForTheSpaceOfANodeThatSleeps(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b")
	up(t, c)
	a, b := c.Node("a"), c.Node("b")
	v := create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	if err := b.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := a.Lagan(t.Context(), nil, "volume", "rm", "db", "--wait")
		ended <- err
	}()
	until(t, c, "only the copy on the sleeping node is left", func() (bool, error) {
		now, err := a.Client().Volume(t.Context(), v.ID)
		return now.Status.Health == string(volume.Deleting) && len(now.Status.Replicas) == 1 && now.Status.Replicas[0].Node == "b", err
	})
	select {
	case err := <-ended:
		t.Errorf("the command did not wait for b: %v", err)
	default:
	}
	if err := b.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if names, err := a.Lagan(t.Context(), nil, "volume", "ls", "-o", "name"); err != nil || len(names) > 0 {
		t.Errorf("left are %s, %v", names, err)
	}
}
