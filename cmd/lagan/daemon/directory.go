package daemon

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"path/filepath"

	"go.uber.org/fx"

	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/identity"
)

// loadIdentity loads what the node proves itself with to the others.
func loadIdentity(c Config) (*identity.Identity, error) {
	return identity.Load(filepath.Join(c.Data, datadir.TLSDir))
}

func openDir(life fx.Lifecycle, c Config, own *identity.Identity) (*datadir.Dir, error) {
	d, err := datadir.Open(c.Data, own.Node)
	if err != nil {
		return nil, err
	}
	life.Append(fx.StopHook(d.Close))
	if d.Cluster() == nil {
		return nil, fmt.Errorf("data directory %s belongs to no cluster: run  lagan up  or  lagan join  on one that is empty", c.Data)
	}
	return d, d.SetSettings(c.Settings())
}

func openMarkers(life fx.Lifecycle, c Config, _ *datadir.Dir) (*datadir.Markers, error) {
	boot, err := datadir.ReadBootID()
	if err != nil {
		return nil, err
	}
	m, err := datadir.OpenMarkers(c.Run, boot)
	if err != nil {
		return nil, err
	}
	life.Append(fx.StopHook(m.Close))
	return m, nil
}

// disks are the node's, those that can be used and those that cannot.
type disks struct {
	opened   []*diskio.File // owned by the host once it is opened
	unusable []host.UnusableDisk
}

func openDisks(c Config, d *datadir.Dir, log *slog.Logger) (disks, error) {
	own := drives{d, log}
	opened, unusable, err := d.OpenDisks(c.Disks, own.format)
	for _, file := range opened {
		own.warn(file)
	}
	return disks{opened, unusable}, err
}

// newSeed returns the seed of one start's random choices.
func newSeed() (uint64, error) {
	var b [8]byte
	_, err := rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

func describeNode(_ context.Context, c Config, d *datadir.Dir) (volume.Node, error) {
	boot, err := datadir.ReadBootID()
	return volume.Node{
		Format: volume.Format, ID: d.Node(), Name: c.Name, Address: c.advertised(), API: c.Addresses().API,
		Zone: c.Zone, Labels: c.Labels, BootID: boot, Version: c.Version, PromiseMax: c.PromiseMax,
	}, err
}
