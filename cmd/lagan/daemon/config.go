package daemon

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/host/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/volume"
)

// Config is what a node is started with.
type Config struct {
	Name    string
	Zone    string
	Labels  map[string]string
	Version string

	Data string // directory of what the node must find again
	Run  string // directory of what ends with the boot

	Listen    string // host:port of the data port
	Advertise string // the same as other nodes reach it; default: Listen
	API       string // host:port of the API over TCP
	NBDListen string // host:port for block clients, "" for none but the socket

	Disks  []datadir.Disk
	NoDisk bool // this node keeps no copies

	NoURing    bool          // disks are read and written by blocking calls
	ScrubEvery time.Duration // between two scrubs of a disk; 0: only when asked for
	ScrubRate  int64         // bytes a second that one may read
	HealAfter  time.Duration // for which a copy's node or disk is gone before it is made anew; 0: it never is
	PromiseMax int           // percent of what its disks have that they may promise to volumes

	Cluster    string // name of the cluster, the same on all nodes
	EtcdPeer   string // host:port where this node's member of the metadata store serves others
	EtcdClient string // host:port where this node's member of the metadata store serves clients
	Etcd       Etcd   // a metadata store that others run

	Plugin Plugin // of the container engine

	// Given is what of all this a later start is to find again: see datadir.Settings.
	Given map[string][]string

	Out io.Writer // for what people wait for: how others join
}

// Etcd says how the node reaches a metadata store that others run.
type Etcd struct {
	Endpoints []string // none: the nodes run it, or the cluster has told where it is
	CA        string   // file with the authority of its certificates, "" for those that the machine trusts
	Cert, Key string   // files that the node proves itself with there, "" if it need not
}

// The ports of a node, unless others are asked for.
const (
	apiPort        = "7301"
	etcdPeerPort   = "7302"
	etcdClientPort = "7303"
)

// Complete sets the addresses that were left out: on the host of the data port.
func (c *Config) Complete() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("address of the data port: %w: write it as --listen HOST:PORT", err)
	}
	for _, a := range []struct {
		into *string
		port string
	}{{&c.API, apiPort}, {&c.EtcdPeer, etcdPeerPort}, {&c.EtcdClient, etcdClientPort}} {
		if *a.into == "" {
			*a.into = net.JoinHostPort(host, a.port)
		}
	}
	return nil
}

// Settings returns what of c is remembered.
func (c *Config) Settings() datadir.Settings {
	return datadir.Settings{Cluster: c.Cluster, Name: c.Name, Given: c.Given}
}

// Addresses returns where others reach the node.
func (c *Config) Addresses() cluster.Addresses {
	return cluster.Addresses{API: c.outside(c.API), EtcdPeer: c.outside(c.EtcdPeer), EtcdClient: c.outside(c.EtcdClient)}
}

// outside returns an address of this node as others reach it: the host is the
// one that is advertised.
func (c *Config) outside(address string) string {
	own, port, err := net.SplitHostPort(address)
	host, _, advertiseErr := net.SplitHostPort(c.Advertise)
	if err != nil || c.Advertise == "" || advertiseErr != nil {
		return address
	}
	if listen, _, _ := net.SplitHostPort(c.Listen); own != listen {
		return address // it was set to another one
	}
	return net.JoinHostPort(host, port)
}

// Socket is where the API listens for local root.
func (c *Config) Socket() string { return filepath.Join(c.Run, "lagan.sock") }

// Check returns an error naming the first setting that cannot be right.
func (c *Config) Check() error {
	switch {
	case c.Name == "":
		return errors.New("the node has no name: give one with --name")
	case len(c.Disks) == 0 && !c.NoDisk:
		return errors.New("the node has no disk: give one with --disk PATH:SIZE, or say with --no-disk that it keeps no copies")
	case len(c.Disks) > 0 && c.NoDisk:
		return errors.New("--disk and --no-disk contradict each other: leave one out")
	case (c.Etcd.Cert == "") != (c.Etcd.Key == ""):
		return errors.New("--etcd-cert and --etcd-key go together: give both or none")
	}
	a := c.Addresses()
	reached := []string{c.advertised(), a.API, a.EtcdPeer, a.EtcdClient}
	for _, address := range reached {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("address for other nodes: %w", err)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			return fmt.Errorf("other nodes cannot reach this one at %s: say where with --advertise HOST:PORT", address)
		}
	}
	return nil
}

func (c *Config) advertised() string {
	if c.Advertise != "" {
		return c.Advertise
	}
	return c.Listen
}

// ParseDisk reads PATH[:SIZE].
func ParseDisk(text string) (datadir.Disk, error) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return datadir.Disk{Path: text}, nil
	}
	size, err := volume.ParseSize(text[i+1:])
	if err != nil {
		return datadir.Disk{}, fmt.Errorf("disk %q: %w", text, err)
	}
	return datadir.Disk{Path: text[:i], Size: size}, nil
}
