package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Settings is what a node was given when it was made or since, kept in node.json
// so that a restart needs none of it.
type Settings struct {
	Cluster string `json:"cluster"` // its name
	Name    string `json:"name"`
	// Given has the values of settings as they were written, by the names of the
	// settings. What they mean is known to whoever starts the node.
	Given map[string][]string `json:"given,omitempty"`
}

// Equal reports whether both say the same.
func (s Settings) Equal(o Settings) bool {
	return s.Cluster == o.Cluster && s.Name == o.Name && maps.EqualFunc(s.Given, o.Given, slices.Equal[[]string])
}

// Settings returns what the node was given, nil before it belongs to a cluster.
func (d *Dir) Settings() *Settings { return d.record.Settings }

// SetSettings replaces them.
func (d *Dir) SetSettings(s Settings) error {
	d.mu.Lock()
	defer d.mu.Unlock()
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
	// External says that others run the metadata store: no node votes in it.
	External bool `json:"external,omitempty"`
}

// Cluster returns the cluster that the node belongs to, nil if it is none.
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
