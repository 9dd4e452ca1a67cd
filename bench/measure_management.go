package bench

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/rest/api"
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
	measure := func(prefix string, dryRun bool) (load.Figures, error) {
		return m.repeat(ctx, fewCalls, func(int) error {
			number++
			_, err := m.first().Create(ctx, fmt.Sprintf("%s-%d", prefix, number), tiny(), dryRun)
			return err
		})
	}
	plan, err := measure("planned", true)
	if err != nil {
		return nil, err
	}
	f, err := measure("one", false)
	if err == nil {
		m.printSum("where one creation goes (p50)", f[load.P50],
			"what it takes beyond: the copies of the volume before are made on the same disk meanwhile",
			term{hop, "API: a request over the socket and back"},
			term{plan[load.P50] - hop, "is there one of that name, and a plan: two linearizable reads (a dry run takes as much)"},
			term{write, "metadata store: one transaction, fsync of a majority"})
	}
	return f, err
}

// tiny are the options of a volume that costs next to nothing.
func tiny() map[string]string {
	return map[string]string{"size": "64KiB", "fs": "none", "replicas": "2"}
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
		figures, err := m.timed(ctx, name, func() error {
			_, err := m.engine.call(ctx, "Mount", volume)
			return err
		}, func() error {
			_, err := m.engine.call(ctx, "Unmount", volume)
			return err
		})
		if err != nil {
			return nil, err
		}
		took = append(took, figures)
	}
	m.printf("\nmount of %s: %.0f ms with the making of its file system\n", name, took[0][load.P50]/1e3)
	f := load.Medians(took[1:])
	attach, err := m.measureAttach(ctx, name, api.Attach{})
	if err != nil {
		return nil, err
	}
	device, err := m.measureAttach(ctx, name, api.Attach{Device: true})
	if err == nil {
		m.printSum("where one mount goes (p50)", f[load.P50], "check and mount of the file system, what holds the content, the engine's call",
			term{attach, "attach: one transaction, the coordinator and its takeover of the copies"},
			term{device - attach, "device: FUSE and a loop device"})
	}
	return f, err
}

// measureAttach measures attaching by the API.
func (m *management) measureAttach(ctx context.Context, name string, how api.Attach) (µs float64, err error) {
	var took []load.Figures
	for range mounts {
		f, err := m.timed(ctx, name, func() error {
			_, err := m.first().Attach(ctx, name, how)
			return err
		}, func() error { return m.first().Detach(ctx, name, false) })
		if err != nil {
			return 0, err
		}
		took = append(took, f)
	}
	return load.Medians(took)[load.P50], nil
}

// timed measures do, which uses a volume, and undoes it.
func (m *management) timed(ctx context.Context, name string, do, undo func() error) (load.Figures, error) {
	begin := m.Clock()
	if err := do(); err != nil {
		return nil, err
	}
	f := load.Figures{load.P50: m.Clock().Sub(begin).Seconds() * 1e6}
	if err := undo(); err != nil {
		return nil, err
	}
	return f, m.cluster.Until(ctx, "volume "+name+" is detached", func() (bool, error) {
		v, err := m.first().Volume(ctx, name)
		return v.Status.Attachment == nil, err
	})
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
			_, err := m.clients[managed()[slot%len(managed())]].Create(ctx, manyName(next.Add(1)), tiny(), false)
			return err
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
	const stride = 7 // far from the one before
	number := int64(0)
	return m.repeat(ctx, manyCalls, func(int) error {
		number = (number + stride) % manyVolumes
		_, err := m.engine.call(ctx, "Get", map[string]string{"Name": manyName(1 + number)})
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
