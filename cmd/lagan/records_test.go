package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/etcd"
)

// openStore opens one more client of a cluster's metadata store.
func openStore(t *testing.T, c *cluster.Cluster, n *cluster.Node) *etcd.Store {
	t.Helper()
	s, err := c.Store(t.Context(), n, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// records are what the metadata store holds.
type records struct {
	names   map[string]block.VolumeID
	specs   map[block.VolumeID]volume.Spec
	configs map[block.VolumeID]volume.Config
	nodes   map[string]block.NodeID
	disks   map[block.DiskID]volume.Disk
	others  []string // keys of volumes that have no configuration
}

func readRecords(t *testing.T, s *etcd.Store) *records {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r := &records{
		names: map[string]block.VolumeID{}, specs: map[block.VolumeID]volume.Spec{}, configs: map[block.VolumeID]volume.Config{},
		nodes: map[string]block.NodeID{}, disks: map[block.DiskID]volume.Disk{},
	}
	var failure error
	var volumes []string
	_ = s.Watch(ctx, volume.Prefix, func(u metadata.Update) {
		for i := range u.Changes {
			if err := r.note(&u.Changes[i].Item, &volumes); err != nil {
				failure = fmt.Errorf("%s: %w", u.Changes[i].Key, err)
			}
		}
		cancel()
	})
	if failure != nil || len(r.nodes) == 0 {
		t.Fatalf("the records cannot be read: %v", failure)
	}
	for _, key := range volumes {
		id, _, _ := volume.ParseVolumeKey(key)
		if _, found := r.configs[id]; !found {
			r.others = append(r.others, key)
		}
	}
	return r
}

func (r *records) note(item *metadata.Item, volumes *[]string) (err error) {
	if id, part, ok := volume.ParseVolumeKey(item.Key); ok {
		*volumes = append(*volumes, item.Key)
		switch part {
		case "spec":
			r.specs[id], err = volume.Parse[volume.Spec](item.Value)
		case "config":
			r.configs[id], err = volume.Parse[volume.Config](item.Value)
		}
		return err
	}
	if name, ok := strings.CutPrefix(item.Key, volume.NamesPrefix); ok {
		var id block.VolumeID
		err = id.UnmarshalText(item.Value)
		r.names[name] = id
		return err
	}
	switch {
	case strings.HasPrefix(item.Key, volume.NodesPrefix):
		n, err := volume.Parse[volume.Node](item.Value)
		r.nodes[n.Name] = n.ID
		return err
	case strings.HasPrefix(item.Key, volume.DisksPrefix):
		d, err := volume.Parse[volume.Disk](item.Value)
		r.disks[d.ID] = d
		return err
	}
	return nil
}

// debris returns what does not belong to a volume that has a name, or an error
// in the sums.
func (r *records) debris() error {
	promised := map[block.DiskID]int64{}
	for name, id := range r.names {
		config, found := r.configs[id]
		if spec := r.specs[id]; !found || config.Tombstone || spec.Name != name {
			return fmt.Errorf("name %s: specification %+v, configuration %+v", name, spec, config)
		}
		for _, m := range config.Members {
			promised[m.Disk] += r.specs[id].Size
		}
	}
	if len(r.others) > 0 || len(r.configs) != len(r.names) || len(r.specs) != len(r.names) {
		return fmt.Errorf("%d names, %d specifications, %d configurations, and of no volume: %v", len(r.names), len(r.specs), len(r.configs), r.others)
	}
	for id, d := range r.disks {
		if d.Promised != promised[id] {
			return fmt.Errorf("disk %v: %d bytes are promised, but volumes take %d", id, d.Promised, promised[id])
		}
	}
	return nil
}

// replicas returns the copies that a node's disk is to hold, in order.
func (r *records) replicas(node string) (listed []block.ReplicaID) {
	for _, config := range r.configs {
		for _, m := range config.Members {
			if m.Node == r.nodes[node] {
				listed = append(listed, m.Replica)
			}
		}
	}
	return sortedReplicas(listed)
}

func sortedReplicas(all []block.ReplicaID) []block.ReplicaID {
	return slices.SortedFunc(slices.Values(all), func(a, b block.ReplicaID) int { return slices.Compare(a[:], b[:]) })
}

// awaitOrder waits until nothing is left over in the records.
func awaitOrder(t *testing.T, c *cluster.Cluster, s *etcd.Store) *records {
	t.Helper()
	var r *records
	until(t, c, "the records are in order", func() (bool, error) {
		r = readRecords(t, s)
		err := r.debris()
		return err == nil, err
	})
	return r
}

// wantReplicas opens the disk of a node that does not run and looks which copies
// it holds.
func wantReplicas(t *testing.T, c *cluster.Cluster, n *cluster.Node, r *records) {
	t.Helper()
	disks := slices.DeleteFunc(slices.Collect(maps.Values(r.disks)), func(d volume.Disk) bool { return d.Node != r.nodes[n.Name] })
	file, err := diskio.Open(n.Dir()+".disk", 0)
	if err != nil || len(disks) != 1 {
		t.Fatalf("%v, disks %v", err, disks)
	}
	file.ID = disks[0].ID
	h := host.Open(t.Context(), host.Params{
		Node: volume.Node{ID: r.nodes[n.Name], Name: n.Name}, Disks: []*diskio.File{file}, Metadata: noStore{}, Clock: host.Boottime,
		BlockSize: block.Size, Pool: host.NewPool(), Markers: noMarkers{}, Log: slog.New(slog.DiscardHandler),
	})
	defer func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}()
	want := r.replicas(n.Name)
	until(t, c, "node "+n.Name+" holds the copies that are listed", func() (bool, error) {
		var held []block.ReplicaID
		h.View(func(o *orchestrator.Orchestrator) { held = o.Replicas() })
		held = sortedReplicas(held)
		if !slices.Equal(held, want) {
			return false, fmt.Errorf("it holds %v, listed are %v", held, want)
		}
		return true, nil
	})
}

// noStore is a metadata store that says nothing.
type noStore struct{}

func (noStore) Do(context.Context, metadata.Txn) metadata.Result { return metadata.Result{} }

func (noStore) Watch(ctx context.Context, _ string, _ func(metadata.Update)) error {
	<-ctx.Done()
	return ctx.Err()
}

// noMarkers is for a disk that is only looked at.
type noMarkers struct{}

func (noMarkers) Taint(string) uint32 { return 0 }

func (noMarkers) SetTaint(string, uint32) error { return nil }

func nodeID(t *testing.T, text string) (id block.NodeID) {
	t.Helper()
	if err := id.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return id
}
