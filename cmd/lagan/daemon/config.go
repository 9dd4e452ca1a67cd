package daemon

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/volume"
)

// Config is what a node is started with.
type Config struct {
	Name    string
	Zone    string
	Version string

	Data string // directory of what the node must find again
	Run  string // directory of what ends with the boot

	Listen    string // host:port of the data port
	Advertise string // the same as other nodes reach it; default: Listen
	API       string // host:port of the API over TCP; "": on the socket only

	Disks  []datadir.Disk
	NoDisk bool // this node keeps no copies

	Cluster    string              // name of the cluster, the same on all nodes
	Peers      map[string][]string // peer URLs of the metadata store by node; this node among them
	EtcdClient string              // host:port where this node's member of the metadata store serves clients
	Endpoints  []string            // of a metadata store that others run; instead of Peers

	TLSDir string // of the node's identity
	Plain  bool   // no TLS anywhere: anybody who reaches a port can be any node

	Plugin Plugin // of the container engine
}

// Socket is where the API listens for local root.
func (c *Config) Socket() string { return filepath.Join(c.Run, "lagan.sock") }

// check returns an error naming the first setting that cannot be right.
func (c *Config) check() error {
	switch {
	case c.Name == "":
		return errors.New("the node has no name: give one with --name")
	case len(c.Disks) == 0 && !c.NoDisk:
		return errors.New("the node has no disk: give one with --disk PATH:SIZE, or say with --no-disk that it keeps no copies")
	case len(c.Disks) > 0 && c.NoDisk:
		return errors.New("--disk and --no-disk contradict each other: leave one out")
	case len(c.Peers) == 0 && len(c.Endpoints) == 0:
		return errors.New("the node knows no metadata store: name the members with --peers, or an etcd that others run with --etcd-endpoints")
	case len(c.Peers) > 0 && len(c.Endpoints) > 0:
		return errors.New("--peers and --etcd-endpoints contradict each other: leave one out")
	case len(c.Peers) > 0 && len(c.Peers[c.Name]) == 0:
		return fmt.Errorf("--peers does not name this node: add %s=URL", c.Name)
	}
	host, _, err := net.SplitHostPort(c.advertised())
	if err != nil {
		return fmt.Errorf("address for other nodes: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("other nodes cannot reach this one at %s: say where with --advertise HOST:PORT", c.advertised())
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

// ParsePeers reads NAME=URL,NAME=URL,…
func ParsePeers(texts []string) (map[string][]string, error) {
	peers := map[string][]string{}
	for _, text := range texts {
		name, address, found := strings.Cut(text, "=")
		if !found || name == "" || !strings.Contains(address, "://") {
			return nil, fmt.Errorf("peer %q: write it as NAME=https://HOST:PORT", text)
		}
		peers[name] = append(peers[name], address)
	}
	return peers, nil
}
