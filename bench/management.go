package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/bench/load"
	restclient "github.com/lagan-storage/lagan/rest/client"
	"github.com/lagan-storage/lagan/transport/etcd"
)

// management is a cluster of whole daemons of which is measured what people and
// container engines ask of them. All three nodes vote; the first takes the
// requests that one node gets.
type management struct {
	*suite
	dir     string
	cluster *cluster.Cluster
	clients map[string]*restclient.Client // of the nodes' APIs, by name
	engine  *engineCalls                  // of the first node's plugin
	store   *etcd.Store                   // one more client, which sees what the nodes write
	many    int                           // volumes that were made for the benches about many
}

// measurement is one bench of the management.
type measurement struct {
	bench   string
	opens   bool // nothing can be measured without it
	measure func(context.Context) (load.Figures, error)
}

// managed are the nodes.
func managed() []string { return []string{"a", "b", "c"} }

// measurements are in the order in which they are taken: the last ones take
// nodes away.
func (m *management) measurements() []measurement {
	return []measurement{
		{"up/daemon", true, m.measureUp},
		{"join/daemon", true, m.measureJoin},
		{"create/api", false, m.measureCreate},
		{"reaction/replica", false, m.measureReaction},
		{"mount/plugin", false, m.measureMount},
		{"create-1000/api", false, m.measureCreateMany},
		{"idle-1000-volumes/daemon", false, m.measureManyRSS},
		{"get-1000-volumes/plugin", false, m.measureGet},
		{"list-1000-volumes/plugin", false, m.measureList},
	}
}

// measureManagement takes all measurements that are wanted.
func (s *suite) measureManagement(ctx context.Context) (err error) {
	m := &management{suite: s, clients: map[string]*restclient.Client{}}
	all := m.measurements()
	wanted := slices.ContainsFunc(all, func(x measurement) bool { return !s.unwanted(contestOf(x.bench)) })
	var missing error // why nothing more can be measured
	if wanted {
		defer func() { err = errors.Join(err, m.close(ctx)) }()
		s.printf("\nmanagement: three whole daemons with mutual TLS on this machine, copies on two of them, requests by the API\n")
		missing = m.open(ctx)
	}
	for _, x := range all {
		if unwanted := s.unwanted(contestOf(x.bench)); unwanted && (!x.opens || !wanted) {
			continue
		}
		var f load.Figures
		if missing == nil {
			f, err = x.measure(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case missing != nil:
			s.skip(x.bench, missing)
		case err != nil:
			s.skip(x.bench, err)
			if x.opens {
				missing = err
			}
		default:
			s.results.add(x.bench, "", f)
		}
	}
	return nil
}

// open makes the cluster and starts none of it.
func (m *management) open(ctx context.Context) error {
	binary, err := filepath.Abs(m.Program)
	if err != nil {
		return err
	}
	if _, err := os.Stat(binary); err != nil {
		return errNoProgram
	}
	if m.dir, err = os.MkdirTemp(m.Out, "managed-"); err != nil {
		return err
	}
	if m.cluster, err = cluster.New(ctx, cluster.Params{Binary: binary, Dir: m.dir, Nodes: managed(), Disk: "1GiB", Pause: pause}); err != nil {
		return err
	}
	for _, name := range managed() {
		m.clients[name] = m.cluster.Node(name).Client()
	}
	m.engine = newEngineCalls(filepath.Join(m.dir, "plugin.sock"))
	m.cluster.Node(managed()[0]).SetArguments("--plugin-socket", m.engine.socket, "--plugin-engine", "none", "--plugin-linger", "1ms")
	return nil
}

func (m *management) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if m.store != nil {
		errs = append(errs, m.store.Close(ctx))
	}
	if m.cluster != nil {
		for _, name := range managed() {
			m.clients[name].Close()
			errs = append(errs, m.cluster.Node(name).Kill(ctx)) // a stop without a majority takes seconds
		}
		errs = append(errs, m.cluster.Close(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(m.dir))...)
}

// first returns the node that takes the requests.
func (m *management) first() *restclient.Client { return m.clients[managed()[0]] }

// connect opens a client of the metadata store, with the certificate of a node.
func (m *management) connect(ctx context.Context) (err error) {
	m.store, err = m.cluster.Store(ctx, m.cluster.Node(managed()[0]), m.Log)
	return err
}

// repeat measures one after another.
func (m *management) repeat(ctx context.Context, count int64, one func(int) error) (load.Figures, error) {
	sample, err := load.Run(ctx, &load.Job{Clock: m.Clock, Depth: 1, Count: count, One: one})
	if err != nil {
		return nil, err
	}
	f := sample.Figures()
	return load.Figures{load.P50: f[load.P50], load.P99: f[load.P99]}, nil
}
