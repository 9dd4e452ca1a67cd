package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func TestE2EEventsAndMetricsTellOfADeadNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b", "c")
	up(t, c)
	v := create(t, c.Node("a"), "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	n, dead := c.Node(v.Status.Replicas[0].Node), c.Node(v.Status.Replicas[1].Node)
	attach(t, n, "db", api.Attach{})
	content := bytes.NewReader(random(mebi))
	if _, err := n.Client().WriteBlocks(t.Context(), "db", 0, content); err != nil {
		t.Fatal(err)
	}
	shows := func(name string, want float64) {
		t.Helper()
		until(t, c, fmt.Sprintf("node %s shows %s %v", n.Name, name, want), func() (bool, error) {
			got, err := n.Sample(t.Context(), name)
			return got == want, err
		})
	}
	for name, want := range map[string]float64{
		`lagan_volume_request_bytes_total{kind="write",volume="db"}`:            mebi,
		`lagan_volume_request_duration_seconds_count{kind="write",volume="db"}`: 1,
		`lagan_volume_request_duration_seconds_count{kind="flush",volume="db"}`: 1,
		`lagan_volume_serving{volume="db"}`:                                     1,
		`lagan_volume_in_sync_copies{volume="db"}`:                              2,
		`lagan_nodes{state="alive"}`:                                            3,
		`lagan_volumes{health="healthy"}`:                                       1,
		`lagan_metadata_reachable`:                                              1,
		`lagan_api_requests_total{code="200",method="put",route="volumes"}`:     2, // the attachment and the blocks
	} {
		shows(name, want)
	}
	told, ended := make(chan api.Event, 100), make(chan error, 1)
	go func() {
		ended <- n.Client().Follow(t.Context(), 0, func(e api.Event) error {
			told <- e
			return nil
		})
	}()
	if err := dead.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitEvents(t, told, volume.VolumeAttached, volume.NodeSilent, volume.VolumeDegraded)
	shows(`lagan_nodes{state="silent"}`, 1)
	shows(`lagan_volumes{health="degraded"}`, 1)
	shows(`lagan_events_total{kind="node-silent"}`, 1)
	if err := dead.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitEvents(t, told, volume.NodeBack, volume.VolumeHealed)
	shows(`lagan_volume_in_sync_copies{volume="db"}`, 2)
	if err := n.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "tells of no more events") {
		t.Errorf("the stream of a node that stops ended with %v", err)
	}
}

// awaitEvents takes events until each kind has come.
func awaitEvents(t *testing.T, told <-chan api.Event, kinds ...volume.EventKind) {
	t.Helper()
	missing := map[string]bool{}
	for _, kind := range kinds {
		missing[string(kind)] = true
	}
	for late := time.After(time.Minute); len(missing) > 0; {
		select {
		case e := <-told:
			delete(missing, e.Kind)
		case <-late:
			t.Fatalf("never told: %v", missing)
		}
	}
}
