package command

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/cmd/lagan/daemon"
)

// threadsMin is how many threads the daemon runs Go code on at least. Disk
// workers block in system calls: with one thread a CPU, a request waits up to
// 5 ms at p99 until the runtime notices.
const threadsMin = 16

// up holds the flags of lagan up as they are written.
type up struct {
	config  daemon.Config
	disks   []string
	peers   []string
	logJSON bool
	debug   bool
}

func (s *session) up() *cobra.Command {
	u := &up{config: daemon.Config{Version: version()}}
	c := &cobra.Command{
		Use:   "up",
		Short: "Run this node in the foreground, until it is told to stop",
		Long: `Run this node in the foreground, until SIGTERM or SIGINT.

The nodes of a cluster are started together: each is given the list of all of
them (--peers) and the certificate that lagan ca issue made for it.`,
		Example: `  lagan up --name a --listen 10.0.0.1:7300 --disk /var/lib/lagan/pool:100GiB \
    --peers a=https://10.0.0.1:7302,b=https://10.0.0.2:7302,c=https://10.0.0.3:7302 --etcd-client 10.0.0.1:7303`,
		Args: exactly(0),
	}
	u.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		config, err := u.parse()
		if err != nil {
			return usageError{err}
		}
		runtime.GOMAXPROCS(max(runtime.NumCPU(), threadsMin))
		return daemon.Run(c.Context(), config, u.logger(s))
	}
	return c
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
	f.StringVar(&p.Listen, "listen", "127.0.0.1:7300", "HOST:PORT for data of other nodes")
	f.StringVar(&p.Advertise, "advertise", "", "HOST:PORT where other nodes reach that (default --listen)")
	f.StringVar(&p.API, "api", "", "HOST:PORT of the API over TCP (default: on the socket only)")
	f.StringVar(&p.Cluster, "cluster", "lagan", "name of the cluster, the same on all nodes")
	f.StringSliceVar(&u.peers, "peers", nil, "members of the metadata store, this node among them: NAME=https://HOST:7302,…")
	f.StringVar(&p.EtcdClient, "etcd-client", "127.0.0.1:7303", "HOST:PORT where this node's member of the metadata store serves clients")
	f.StringSliceVar(&p.Endpoints, "etcd-endpoints", nil, "client URLs of an etcd that others run, instead of --peers")
	f.StringVar(&p.TLSDir, "tls-dir", "", "directory of this node's certificate (default DATA/tls)")
	f.BoolVar(&p.Plain, "plain", false, "no TLS: anybody who reaches a port can be any node")
	pluginFlags(f, &p.Plugin)
	f.BoolVar(&u.logJSON, "log-json", false, "log as JSON")
	f.BoolVar(&u.debug, "debug", false, "log more")
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
	if c.Peers, err = daemon.ParsePeers(u.peers); err != nil {
		return c, err
	}
	c.Endpoints = slices.Clone(c.Endpoints)
	if c.TLSDir == "" {
		c.TLSDir = filepath.Join(c.Data, "tls")
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
