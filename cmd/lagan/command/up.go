package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/cmd/lagan/daemon"
	"github.com/lagan-storage/lagan/core/host/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
)

// threadsMin is how many threads the daemon runs Go code on at least. Disk
// workers block in system calls: with one thread a CPU, a request waits up to
// 5 ms at p99 until the runtime notices.
const threadsMin = 16

// up holds the flags of lagan up as they are written.
type up struct {
	config  daemon.Config
	disks   []string
	logJSON bool
	debug   bool
}

func (s *session) up() *cobra.Command {
	u := &up{config: daemon.Config{Version: version(), Out: s.Out}}
	c := &cobra.Command{
		Use:   "up",
		Short: "Run this node in the foreground, until it is told to stop",
		Long: `Run this node in the foreground, until SIGTERM, SIGINT or lagan down.

On an empty data directory this is the first node of a new cluster, and the
command prints how other machines join it. Later starts need no flags: the node
remembers what it was given. Addresses, the zone and disks may be given anew;
a name that contradicts what is remembered is refused.

One node votes in the cluster's metadata store until there are three. Then three
vote, and one of them may fail; two nodes can do nothing without the first.

With an etcd that others run (--etcd-endpoints) nodes have certificates of
lagan ca, do not join, and are given everything at every start.`,
		Example: `  lagan up --disk /var/lib/lagan-pool:100GiB
  lagan up --name a --listen 10.0.0.1:7300 --no-disk`,
		Args: exactly(0),
	}
	u.flags(c)
	u.fixedFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		config, err := u.parse()
		if err != nil {
			return usageError{err}
		}
		if err := found(&config, c.Flags().Changed, time.Now()); err != nil {
			return err
		}
		return s.run(c, config, u.logger(s))
	}
	return c
}

// run runs a node whose data directory is made.
func (s *session) run(c *cobra.Command, config daemon.Config, log *slog.Logger) error {
	runtime.GOMAXPROCS(max(runtime.NumCPU(), threadsMin))
	return daemon.Run(c.Context(), config, log)
}

// found makes the data directory of a new cluster's first node, or takes from an
// old one what the node was given.
func found(c *daemon.Config, changed func(flag string) bool, now time.Time) error {
	remembered, belongs, err := datadir.Lookup(c.Data)
	switch {
	case err != nil:
		return err
	case c.External() && belongs != nil:
		return fmt.Errorf("--etcd-endpoints is not for data directory %s: it belongs to cluster %s, which has its own metadata store: leave the flag out", c.Data, belongs.Name)
	case c.External():
		return c.Complete()
	case changed("tls-dir"):
		return errors.New("--tls-dir goes with --etcd-endpoints: this node keeps its certificate in the data directory")
	case belongs != nil:
		settings, err := remembered.Merge(c.Settings(), changed)
		if err != nil {
			return err
		}
		c.Take(settings)
		return c.Complete()
	}
	if err := errors.Join(c.Complete(), c.Check()); err != nil {
		return err
	}
	return cluster.Found(c.Data, c.Settings(), now)
}

func (u *up) flags(c *cobra.Command) {
	name, err := os.Hostname()
	if err != nil {
		name = "" // asked for when it is needed
	}
	f, p := c.Flags(), &u.config
	f.SortFlags = false
	f.StringVar(&p.Name, "name", name, "name of this node, the same at every start")
	f.StringVar(&p.Zone, "zone", "", "zone: copies of a volume go to different ones")
	f.StringVar(&p.Data, "data", "/var/lib/lagan", "directory of what this node must find again")
	f.StringVar(&p.Run, "run", filepath.Dir(socketDefault), "directory of the socket and of what ends with the boot")
	f.StringArrayVar(&u.disks, "disk", nil, "block device, or file PATH:SIZE that is made if it is missing (repeatable)")
	f.BoolVar(&p.NoDisk, "no-disk", false, "keep no copies on this node")
	f.StringVar(&p.Listen, "listen", outwards(c)+":7300", "HOST:PORT for data of other nodes; the other ports are on the same host")
	f.StringVar(&p.Advertise, "advertise", "", "HOST:PORT where other nodes reach that (default --listen)")
	f.StringVar(&p.API, "api", "", "HOST:PORT of the API (default port 7301)")
	f.StringVar(&p.EtcdPeer, "etcd-peer", "", "HOST:PORT where this node's member of the metadata store serves the others (default port 7302)")
	f.StringVar(&p.EtcdClient, "etcd-client", "", "HOST:PORT where it serves clients (default port 7303)")
	pluginFlags(f, &p.Plugin)
	f.BoolVar(&u.logJSON, "log-json", false, "log as JSON")
	f.BoolVar(&u.debug, "debug", false, "log more")
}

// fixedFlags are those of lagan up alone.
func (u *up) fixedFlags(c *cobra.Command) {
	f, p := c.Flags(), &u.config
	f.StringVar(&p.Cluster, "cluster", "lagan", "name of the cluster")
	f.StringSliceVar(&p.Endpoints, "etcd-endpoints", nil, "client URLs of an etcd that others run")
	f.StringVar(&p.TLSDir, "tls-dir", "", "directory of this node's certificate, made by lagan ca (default DATA/tls)")
	f.BoolVar(&p.Plain, "plain", false, "no TLS: anybody who reaches a port can be any node")
}

// outwards returns the address of this machine from which it reaches others. No
// packet is sent.
func outwards(c *cobra.Command) string {
	ctx := c.Context()
	if ctx == nil { // while the commands are being made
		ctx = context.Background()
	}
	dialer := net.Dialer{}
	const elsewhere = "192.0.2.1:9" // of a network for documentation
	connection, err := dialer.DialContext(ctx, "udp", elsewhere)
	if err != nil {
		return "127.0.0.1"
	}
	defer func() { _ = connection.Close() }() // nothing was written
	host, _, err := net.SplitHostPort(connection.LocalAddr().String())
	if err != nil {
		return "127.0.0.1"
	}
	return host
}

// parse returns the configuration that the flags ask for.
func (u *up) parse() (c daemon.Config, err error) {
	c = u.config
	for _, text := range u.disks {
		disk, err := daemon.ParseDisk(text)
		if err != nil {
			return c, err
		}
		c.Disks = append(c.Disks, disk)
	}
	c.Endpoints = slices.Clone(c.Endpoints)
	if c.TLSDir == "" {
		c.TLSDir = filepath.Join(c.Data, datadir.TLSDir)
	}
	for i := range c.Disks {
		if c.Disks[i].Path, err = filepath.Abs(c.Disks[i].Path); err != nil {
			return c, fmt.Errorf("disk: %w", err)
		}
	}
	for _, path := range []*string{&c.Data, &c.Run, &c.TLSDir} {
		if *path, err = filepath.Abs(*path); err != nil {
			return c, fmt.Errorf("directory: %w", err)
		}
	}
	return c, nil
}

func (u *up) logger(s *session) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if u.debug {
		options.Level = slog.LevelDebug
	}
	if u.logJSON {
		return slog.New(slog.NewJSONHandler(s.Err, options))
	}
	return slog.New(slog.NewTextHandler(s.Err, options))
}
