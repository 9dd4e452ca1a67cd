package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/core/metadata"
)

const (
	// manyVolumes is how many volumes there are in the benches about many.
	manyVolumes = 1000
	// manyClients is how many requests for them are under way at each node.
	manyClients = 8
	// fewCalls and manyCalls are how often a call is measured that takes long, or
	// does not.
	fewCalls, manyCalls = 20, 300
	// mounts is how often a volume is mounted.
	mounts = 7
	// manySettle is how long the volumes are idle before memory is looked at.
	manySettle = 2 * time.Second
)

// measureUp measures lagan up on a new data directory: authority, certificate,
// the metadata store and its first voter, the disk.
func (m *management) measureUp(ctx context.Context) (load.Figures, error) {
	return m.measureStart(ctx, managed()[0])
}

// measureJoin measures the slower of two joins.
func (m *management) measureJoin(ctx context.Context) (load.Figures, error) {
	second, err := m.measureStart(ctx, managed()[1])
	if err != nil {
		return nil, err
	}
	third, err := m.measureStart(ctx, managed()[2])
	if err != nil {
		return nil, err
	}
	if err := m.cluster.AwaitWhole(ctx); err != nil {
		return nil, err
	}
	return load.Figures{load.Time: max(second[load.Time], third[load.Time])}, m.connect(ctx)
}

func (m *management) measureStart(ctx context.Context, name string) (load.Figures, error) {
	begin := m.Clock()
	n := m.cluster.Node(name)
	if err := n.Start(ctx); err != nil {
		return nil, err
	}
	if err := n.AwaitReady(ctx); err != nil {
		return nil, err
	}
	took := m.Clock().Sub(begin).Seconds()
	m.printf("node %s: ready %.2f s after its process was started\n", name, took)
	return load.Figures{load.Time: took}, nil
}

// measureCreate measures the creation of one volume after the other.
func (m *management) measureCreate(ctx context.Context) (load.Figures, error) {
	hop, err := m.measureHop(ctx)
	if err != nil {
		return nil, err
	}
	write, err := m.measureTransaction(ctx)
	if err != nil {
		return nil, err
	}
	number := 0
	f, err := m.repeat(ctx, fewCalls, func(int) error {
		number++
		return m.create(ctx, managed()[0], fmt.Sprintf("one-%d", number), map[string]string{"size": "64KiB", "fs": "none", "replicas": "2"})
	})
	if err == nil {
		m.printSum("where one creation goes (p50)", f[load.P50], "placement, encoding, shards, wake-ups",
			term{hop, "API: a request over the socket and back"}, term{write, "metadata store: one transaction, fsync of a majority"})
	}
	return f, err
}

// measureHop measures a request that asks for next to nothing.
func (m *management) measureHop(ctx context.Context) (µs float64, err error) {
	f, err := m.repeat(ctx, manyCalls, func(int) error { return m.first().Ready(ctx) })
	return f[load.P50], err
}

// measureTransaction measures a write of the metadata store.
func (m *management) measureTransaction(ctx context.Context) (µs float64, err error) {
	f, err := m.repeat(ctx, fewCalls, func(int) error {
		result := m.store.Do(ctx, metadata.Txn{Ops: []metadata.Op{{Key: benchPrefix + "write", Value: []byte("x")}}})
		if result.Outcome != metadata.Applied {
			return fmt.Errorf("a write of the metadata store had outcome %d", result.Outcome)
		}
		return nil
	})
	return f[load.P50], err
}

func (m *management) create(ctx context.Context, node, name string, options map[string]string) error {
	_, err := m.clients[node].Create(ctx, name, options, false)
	return err
}

// measureMount measures the engine's call Mount for a volume that has its file
// system and is attached nowhere.
func (m *management) measureMount(ctx context.Context) (load.Figures, error) {
	if unix.Geteuid() != 0 || unix.Access("/dev/fuse", unix.W_OK) != nil || unix.Access("/dev/loop-control", unix.W_OK) != nil {
		return nil, errNoDevices
	}
	const name = "mounted"
	volume := map[string]any{"Name": name, "ID": "bench", "Opts": map[string]string{"size": "64MiB", "replicas": "2"}}
	if _, err := m.engine.call(ctx, "Create", volume); err != nil {
		return nil, err
	}
	var took []load.Figures
	for range mounts + 1 {
		begin := m.Clock()
		if _, err := m.engine.call(ctx, "Mount", volume); err != nil {
			return nil, err
		}
		took = append(took, load.Figures{load.P50: m.Clock().Sub(begin).Seconds() * 1e6})
		if _, err := m.engine.call(ctx, "Unmount", volume); err != nil {
			return nil, err
		}
		err := m.cluster.Until(ctx, "the volume is detached", func() (bool, error) {
			v, err := m.first().Volume(ctx, name)
			return v.Status.Attachment == nil, err
		})
		if err != nil {
			return nil, err
		}
	}
	m.printf("\nmount of %s: %.0f ms with the making of its file system\n", name, took[0][load.P50]/1e3)
	return load.Medians(took[1:]), nil
}

// makeMany makes the volumes of the benches about many, if they are not there.
func (m *management) makeMany(ctx context.Context) (load.Figures, error) {
	if m.many > 0 {
		return nil, nil
	}
	var next atomic.Int64
	sample, err := load.Run(ctx, &load.Job{
		Clock: m.Clock, Depth: manyClients * len(managed()), Count: manyVolumes,
		One: func(slot int) error {
			return m.create(ctx, managed()[slot%len(managed())], manyName(next.Add(1)), map[string]string{"size": "64KiB", "fs": "none", "replicas": "2"})
		},
	})
	if err != nil {
		return nil, err
	}
	m.many = manyVolumes
	f := sample.Figures()
	return load.Figures{load.Time: sample.Elapsed.Seconds(), load.P50: f[load.P50], load.P99: f[load.P99]}, nil
}

func manyName(number int64) string { return fmt.Sprintf("many-%d", number) }

// measureCreateMany measures how long it takes until many volumes are there,
// asked of all nodes at once.
func (m *management) measureCreateMany(ctx context.Context) (load.Figures, error) {
	write, err := m.measureTransaction(ctx)
	if err != nil {
		return nil, err
	}
	f, err := m.makeMany(ctx)
	if err != nil {
		return nil, err
	}
	m.printf("\n%d volumes by %d clients at each of %d nodes: %.1f s; one after the other at a transaction each (%.1f ms) would be %.1f s\n",
		manyVolumes, manyClients, len(managed()), f[load.Time], write/1e3, write/1e6*manyVolumes)
	return f, nil
}

// measureManyRSS measures the memory of daemons that know many volumes and hold
// two copies in three of them.
func (m *management) measureManyRSS(ctx context.Context) (load.Figures, error) {
	if _, err := m.makeMany(ctx); err != nil {
		return nil, err
	}
	if err := pause(ctx, manySettle); err != nil {
		return nil, err
	}
	most := 0.0
	for _, name := range managed() {
		rss, err := resident(m.cluster.Node(name).PID())
		if err != nil {
			return nil, err
		}
		most = max(most, rss)
	}
	m.printf("\n%d idle volumes: %.0f MiB resident in the largest of three daemons\n", manyVolumes, most)
	return load.Figures{load.RSS: most}, nil
}

// loseMajority leaves the first node alone.
func (m *management) loseMajority(ctx context.Context) error {
	if _, err := m.makeMany(ctx); err != nil {
		return err
	}
	err := m.cluster.Until(ctx, "the first node knows all volumes", func() (bool, error) {
		all, err := m.first().Volumes(ctx)
		return len(all) >= manyVolumes, err
	})
	for _, name := range managed()[1:] {
		if err == nil {
			err = m.cluster.Node(name).Kill(ctx)
		}
	}
	return err
}

// measureGet measures the engine's call Get without a majority.
func (m *management) measureGet(ctx context.Context) (load.Figures, error) {
	if err := m.loseMajority(ctx); err != nil {
		return nil, err
	}
	return m.repeat(ctx, manyCalls, func(int) error {
		_, err := m.engine.call(ctx, "Get", map[string]string{"Name": manyName(1 + rand.Int64N(manyVolumes))})
		return err
	})
}

// measureList measures the engine's call List without a majority.
func (m *management) measureList(ctx context.Context) (load.Figures, error) {
	if err := m.loseMajority(ctx); err != nil {
		return nil, err
	}
	return m.repeat(ctx, manyCalls, func(int) error {
		answer, err := m.engine.call(ctx, "List", struct{}{})
		if listed := bytes.Count(answer, []byte(`"Name":`)); err == nil && listed < manyVolumes {
			err = fmt.Errorf("%d volumes are listed, want %d", listed, manyVolumes)
		}
		return err
	})
}
