package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/cmd/lagan/config"
	"github.com/lagan-storage/lagan/cmd/lagan/daemon"
	"github.com/lagan-storage/lagan/core/host/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
)

// threadsMin is how many threads the daemon runs Go code on at least. Disk
// workers block in system calls: with one thread a CPU, a request waits up to
// 5 ms at p99 until the runtime notices.
const threadsMin = 16

func (s *session) up() *cobra.Command {
	settings := config.New()
	c := &cobra.Command{
		Use:   "up",
		Short: "Run this node in the foreground, until it is told to stop",
		Long: `Run this node in the foreground, until SIGTERM, SIGINT or lagan down.

On an empty data directory this is the first node of a new cluster, and the
command prints how other machines join it; with --join it joins one. Later
starts need no flags: the node remembers what it was given. All but its name and
cluster may be given anew.

Every flag can also be a line of ` + config.FileDefault + ` or a variable of the
environment: plugin-name: lagan, LAGAN_PLUGIN_NAME=lagan. A flag counts more than
the environment, that more than the file, and the file more than what the node
remembers.

One node votes in the cluster's metadata store until there are three. Then three
vote, and one of them may fail; two nodes can do nothing without the first.
With --etcd-endpoints the cluster keeps its records in an etcd that you run, and
no node votes.`,
		Example: `  lagan up --disk /var/lib/lagan-pool:100GiB
  lagan up --name a --listen 10.0.0.1:7300 --no-disk
  lagan up --disk /dev/sdb --etcd-endpoints https://10.0.0.9:2379 --etcd-ca ca.crt --etcd-cert lagan.crt --etcd-key lagan.key`,
		Args: exactly(0),
	}
	settings.Flags(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error { return s.run(c.Context(), settings) }
	return c
}

// run makes the data directory if there is none, and runs the node.
func (s *session) run(ctx context.Context, settings *config.Config) error {
	if err := settings.Load(os.Getenv); err != nil {
		return usageError{err}
	}
	log := settings.Logger(s.Err)
	if err := s.settle(ctx, settings); err != nil {
		return err
	}
	settings.Tell(log)
	runtime.GOMAXPROCS(max(runtime.NumCPU(), threadsMin))
	return daemon.Run(ctx, settings.Node, log)
}

// settleKnown completes the settings of a node by what it remembers.
func (s *session) settleKnown(ctx context.Context, settings *config.Config) error {
	node := &settings.Node
	known, belongs, err := datadir.Lookup(node.Data)
	switch {
	case err != nil:
		return err
	case belongs == nil:
		return fmt.Errorf("data directory %s belongs to no node of a cluster: name one with --data", node.Data)
	}
	if err := settings.Recall(*known); err != nil {
		return err
	}
	if err := settings.Settle(ctx); err != nil {
		return usageError{err}
	}
	return errors.Join(node.Complete(), node.Check())
}

// settle completes the settings by what the node remembers, and makes the data
// directory of a node that is new.
func (s *session) settle(ctx context.Context, settings *config.Config) error {
	node := &settings.Node
	node.Version, node.Out = version(), s.Out
	known, belongs, err := datadir.Lookup(node.Data)
	if err != nil {
		return err
	}
	if belongs != nil {
		if settings.Joins() {
			return fmt.Errorf("%s belongs to node %s of cluster %s already: start it with  lagan up --data %s", node.Data, known.Name, known.Cluster, node.Data)
		}
		if err := settings.Recall(*known); err != nil {
			return err
		}
		if given := settings.Given("etcd-endpoints"); given != "" && !belongs.External {
			return fmt.Errorf("%s is not for data directory %s: it belongs to cluster %s, whose nodes run the metadata store: leave it out", given, node.Data, belongs.Name)
		}
	}
	if err := settings.Settle(ctx); err != nil {
		return usageError{err}
	}
	if err := errors.Join(node.Complete(), node.Check()); err != nil {
		return err
	}
	switch {
	case belongs != nil:
		return nil
	case settings.Join != "":
		return join(ctx, settings)
	case settings.Token != "":
		return usageError{fmt.Errorf("%s is given, but not where to join: say  lagan join HOST:7301, or give --join too", settings.Given("token"))}
	case len(node.Etcd.Endpoints) > 0:
		if err := daemon.Vacant(ctx, *node); err != nil {
			return err
		}
	}
	return cluster.Found(node.Data, node.Settings(), node.Etcd.Endpoints, time.Now())
}
