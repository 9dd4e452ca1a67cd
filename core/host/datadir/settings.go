package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
)

// Settings is what a node was given when it was made, kept in node.json so that
// a restart needs none of it. All addresses are host:port.
type Settings struct {
	Cluster    string `json:"cluster"` // its name
	Name       string `json:"name"`
	Zone       string `json:"zone,omitempty"`
	Listen     string `json:"listen"`
	Advertise  string `json:"advertise,omitempty"`
	API        string `json:"api"`
	EtcdPeer   string `json:"etcd_peer"`
	EtcdClient string `json:"etcd_client"`
	Disks      []Disk `json:"disks,omitempty"`
	NoDisk     bool   `json:"no_disk,omitempty"`
}

// Merge returns s with what the flags of a later start change. given has a value
// for every flag, changed says which were written. One that cannot change is
// refused by its name. Ports on the host of the data port move with it.
func (s Settings) Merge(given Settings, changed func(flag string) bool) (Settings, error) {
	for _, fixed := range []struct{ flag, was, is string }{
		{"name", s.Name, given.Name}, {"cluster", s.Cluster, given.Cluster},
	} {
		if changed(fixed.flag) && fixed.was != fixed.is {
			return s, fmt.Errorf("--%s is %q, but this data directory belongs to %q: leave the flag out, or give another --data", fixed.flag, fixed.is, fixed.was)
		}
	}
	was := s.Listen
	for flag, value := range map[string]struct{ into, from *string }{
		"zone": {&s.Zone, &given.Zone}, "listen": {&s.Listen, &given.Listen}, "advertise": {&s.Advertise, &given.Advertise},
		"api": {&s.API, &given.API}, "etcd-peer": {&s.EtcdPeer, &given.EtcdPeer}, "etcd-client": {&s.EtcdClient, &given.EtcdClient},
	} {
		if changed(flag) {
			*value.into = *value.from
		} else if changed("listen") && value.into != &s.Advertise {
			*value.into = follow(*value.into, was, given.Listen)
		}
	}
	switch {
	case changed("no-disk") && given.NoDisk && len(s.Disks) > 0:
		return s, errors.New("--no-disk is given, but the node has disks: leave the flag out, or give another --data")
	case changed("disk"):
		s.Disks, s.NoDisk = slices.Clone(given.Disks), false
	}
	return s, nil
}

// follow returns address on the host of is, if it was on the host of was.
func follow(address, was, is string) string {
	host, port, err := net.SplitHostPort(address)
	old, _, oldErr := net.SplitHostPort(was)
	next, _, nextErr := net.SplitHostPort(is)
	if errors.Join(err, oldErr, nextErr) != nil || host != old {
		return address
	}
	return net.JoinHostPort(next, port)
}

// Equal reports whether both say the same.
func (s Settings) Equal(o Settings) bool {
	disks := slices.Equal(s.Disks, o.Disks)
	s.Disks, o.Disks = nil, nil
	one, _ := json.Marshal(s) // strings and a flag
	other, _ := json.Marshal(o)
	return disks && string(one) == string(other)
}

// Settings returns what the node was given, nil if it is given everything at
// every start.
func (d *Dir) Settings() *Settings { return d.record.Settings }

// SetSettings replaces them.
func (d *Dir) SetSettings(s Settings) error {
	if d.record.Settings != nil && d.record.Settings.Equal(s) {
		return nil
	}
	d.record.Settings = &s
	return d.save()
}

// clusterFile is written last: a directory without it belongs to no cluster.
const clusterFile = "cluster.json"

// Cluster is cluster.json.
type Cluster struct {
	Format    int      `json:"format"`
	Name      string   `json:"name"`
	Authority string   `json:"authority"` // SHA-256 of its certificate
	Endpoints []string `json:"endpoints"` // client URLs of the voters, as last heard
}

// Cluster returns the cluster that the node belongs to, nil if that is given at
// every start.
func (d *Dir) Cluster() *Cluster { return d.cluster }

// SetEndpoints remembers where the voters are.
func (d *Dir) SetEndpoints(urls []string) error {
	if d.cluster == nil || slices.Equal(d.cluster.Endpoints, urls) {
		return nil
	}
	c := *d.cluster
	c.Endpoints = slices.Clone(urls)
	if err := writeCluster(d.path, c); err != nil {
		return err
	}
	d.cluster = &c
	return nil
}

func writeCluster(path string, c Cluster) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the cluster: %w", err)
	}
	return replace(filepath.Join(path, clusterFile), append(data, '\n'))
}

// readCluster returns nil if there is no cluster.json.
func readCluster(path string) (*Cluster, error) {
	name := filepath.Join(path, clusterFile)
	data, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the node's cluster: %w", err)
	}
	c := &Cluster{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("%s cannot be read (%w): restore it from a backup", name, err)
	}
	if c.Format > format {
		return nil, fmt.Errorf("%s has format %d, this version reads up to %d: start the newer version of lagan", name, c.Format, format)
	}
	return c, nil
}

// Lookup reads which cluster the directory at path belongs to and what its node
// was given, without taking it; nil if it belongs to none.
func Lookup(path string) (*Settings, *Cluster, error) {
	c, err := readCluster(path)
	if err != nil || c == nil {
		return nil, nil, err
	}
	data, err := os.ReadFile(filepath.Join(path, nodeFile))
	if err != nil {
		return nil, nil, fmt.Errorf("read the node's identity: %w", err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil || r.Settings == nil {
		return nil, nil, errors.Join(fmt.Errorf("%s does not say how the node was started: restore it from a backup", filepath.Join(path, nodeFile)), err)
	}
	return r.Settings, c, nil
}
