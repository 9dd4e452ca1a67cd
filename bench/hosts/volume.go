package hosts

import (
	"context"
	"fmt"
	"net"

	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/volume"
)

// Create makes a volume with a copy on each of the nodes, by index.
func (c *Cluster) Create(ctx context.Context, name string, size int64, nodes ...int) error {
	spec := volume.Spec{Format: volume.Format, Name: name, Size: size, Replicas: len(nodes), Filesystem: "none"}
	for _, i := range nodes {
		spec.Nodes = append(spec.Nodes, Name(i))
	}
	_, err := c.nodes[0].host.Command(ctx, volume.Command{Kind: volume.CreateVolume, Name: name, Spec: spec})
	return err
}

// Attach has a node serve the volume.
func (c *Cluster) Attach(ctx context.Context, node int, name string) (*host.Volume, error) {
	return c.nodes[node].host.Attach(ctx, name, false)
}

// Pool returns the pool of a node, for the buffers of its clients.
func (c *Cluster) Pool(node int) *host.Pool { return c.nodes[node].pool }

// Direct reports whether the disks are opened with O_DIRECT.
func (c *Cluster) Direct() bool { return c.nodes[0].disk.Direct }

// freeAddress returns an address of this machine where nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
