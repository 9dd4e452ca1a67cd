package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/volume"
)

// Short-lived volumes come and go by commands that race each other; nobody
// writes to them. In a healed world all of them are deleted, and then nothing of
// them may be left.
const (
	shortLivedPrefix = "short"
	shortLivedMost   = 2 // names: few, so that commands meet
	clearEvery       = time.Second
)

func shortLivedName(pick uint64) string {
	return fmt.Sprintf("%s%d", shortLivedPrefix, pick%shortLivedMost)
}

// strikeShortLived gives two nodes commands that contradict each other.
func (w *World) strikeShortLived(f *Fault, b, peer *body) {
	name := shortLivedName(f.Pick)
	ask := func(to *body, c volume.Command) {
		if to.life != 0 {
			w.operator.send(to, c)
		}
	}
	switch f.Kind {
	case CreateTwice:
		for i, to := range []*body{b, peer} {
			ask(to, volume.Command{Kind: volume.CreateVolume, Name: name, Spec: w.shortLivedSpec(name, 1+int(f.Pick>>8%2)*i, 1+int(f.Pick>>16%2))})
		}
	case DeleteAttached:
		ask(b, volume.Command{Kind: volume.DeleteVolume, Name: name})
		ask(peer, volume.Command{Kind: volume.AttachVolume, Name: name, Force: f.Pick>>8&1 != 0})
	default:
	}
}

func (w *World) shortLivedSpec(name string, chunks, replicas int) volume.Spec {
	return volume.Spec{
		Name: name, Size: int64(chunks * block.PerChunk * w.plan.BlockSize), Replicas: replicas, Filesystem: "none", Created: "2026-01-01T00:00:00Z",
	}
}

// clearShortLived has the short-lived volumes of a healed world deleted.
func (o *operator) clearShortLived() {
	w := o.world
	if !w.healed || w.now-o.cleared < int64(clearEvery) || o.gone == w.metadata.store.Revision() {
		return
	}
	if w.shortLivedGone() {
		o.gone = w.metadata.store.Revision()
		return
	}
	o.cleared = w.now
	for pick := range uint64(shortLivedMost) {
		b := w.bodies[o.rand.below(len(w.bodies))]
		if _, taken := w.metadata.record(volume.NameKey(shortLivedName(pick))); taken && b.life != 0 {
			o.send(b, volume.Command{Kind: volume.DetachVolume, Name: shortLivedName(pick), Force: true})
			o.send(b, volume.Command{Kind: volume.DeleteVolume, Name: shortLivedName(pick)})
		}
	}
}

// shortLivedGone reports whether no short-lived volume is left, nor one that is
// being deleted.
func (w *World) shortLivedGone() bool { return w.shortLivedText() == "" }

func (w *World) shortLivedText() string {
	var left []string
	for _, item := range w.metadata.records() {
		if strings.HasPrefix(item.Key, volume.NameKey(shortLivedPrefix)) {
			left = append(left, item.Key)
		}
		if id, part, ok := volume.ParseVolumeKey(item.Key); ok && part == "config" && w.volume(id) == nil {
			if c := w.parseConfig(item.Value); !w.waitsForLostDisks(c) {
				left = append(left, configText(c))
			}
		}
	}
	return strings.Join(left, ", ")
}

// waitsForLostDisks reports whether a deleted volume has no copy left but on
// disks that do not exist any more, or that cannot be opened.
func (w *World) waitsForLostDisks(c *volume.Config) bool {
	return c.Tombstone && !slices.ContainsFunc(c.Members, func(m volume.Member) bool {
		b := w.bodyOf(m.Node)
		return b != nil && slices.ContainsFunc(b.drives, func(d *drive) bool { return d.id == m.Disk && !d.refused })
	})
}

func (w *World) parseConfig(data []byte) *volume.Config {
	c, err := volume.ParseConfig(data)
	if err != nil {
		w.fail("records", "a configuration: %v", err)
	}
	return c
}

// checkDebris looks, at rest, for what no volume explains: names, records, bytes
// that are promised, and copies on disks.
func (w *World) checkDebris() {
	configs, sizes := map[block.VolumeID]*volume.Config{}, map[block.VolumeID]int64{}
	names := map[block.VolumeID]string{}
	records := w.metadata.records()
	for _, item := range records {
		id, part, ok := volume.ParseVolumeKey(item.Key)
		switch {
		case ok && part == "config":
			configs[id] = w.parseConfig(item.Value)
		case ok && part == "spec":
			s, err := volume.Parse[volume.Spec](item.Value)
			if err != nil {
				w.fail("records", "a specification: %v", err)
			}
			sizes[id], names[id] = s.Size, s.Name
		}
	}
	for _, item := range records {
		if id, part, ok := volume.ParseVolumeKey(item.Key); ok && configs[id] == nil {
			w.fail("debris", "the %s of volume %v is left without a configuration", part, id)
		}
		if name, ok := strings.CutPrefix(item.Key, volume.NamesPrefix); ok {
			id, _ := volume.ParseVolumeID(string(item.Value))
			if c := configs[id]; c == nil || c.Tombstone || names[id] != name {
				w.fail("debris", "name %s stands for no volume of that name", name)
			}
		}
	}
	w.checkPromises(records, configs, sizes)
	w.checkReplicas(configs)
	if id := w.remembered(); id != "" {
		w.fail("debris", "volume %s remembers a copy that left, though its disk is there", id)
	}
}

// checkPromises adds up what volumes need of every disk.
func (w *World) checkPromises(records []metadata.Item, configs map[block.VolumeID]*volume.Config, sizes map[block.VolumeID]int64) {
	needed, placements := map[block.DiskID]int64{}, w.placements()
	for id, c := range configs { // any order: sums
		for _, at := range placements[id].Promised(c) {
			if _, removed := w.metadata.record(volume.RemovedKey(at.Node)); !c.Tombstone && !removed {
				needed[at.Disk] += sizes[id]
			}
		}
	}
	for _, item := range records {
		if !strings.HasPrefix(item.Key, volume.DisksPrefix) {
			continue
		}
		d, err := volume.Parse[volume.Disk](item.Value)
		if err != nil {
			w.fail("records", "a disk: %v", err)
		}
		if d.Promised != needed[d.ID] {
			w.fail("debris", "%d bytes of disk %v are promised, its volumes have %d", d.Promised, d.ID, needed[d.ID])
		}
	}
}

// checkReplicas looks at what the disks hold. One that went back to an older image
// may hold again what was freed; so may one that lost part of its journal.
func (w *World) checkReplicas(configs map[block.VolumeID]*volume.Config) {
	for _, b := range w.bodies {
		for i, s := range b.disks {
			disk, ours := s.machine.(*node.Disk)
			if !ours || !s.ready || b.drives[i].restored || b.drives[i].unsound {
				continue
			}
			for _, info := range disk.Store().Replicas(nil) {
				c := configs[info.Volume]
				if c == nil || c.Member(info.Replica) == nil || c.Tombstone {
					w.fail("debris", "%s holds replica %v of volume %v, which no configuration lists", s, info.Replica, info.Volume)
				}
			}
		}
	}
}

// records returns what is in the store now, by key.
func (m *metadataService) records() []metadata.Item {
	r, _ := m.store.Do(metadata.Txn{Read: []string{volume.Prefix}}, 0)
	slices.SortFunc(r.Items, func(a, b metadata.Item) int { return cmp.Compare(a.Key, b.Key) })
	return r.Items
}

func (m *metadataService) record(key string) (metadata.Item, bool) {
	r, _ := m.store.Do(metadata.Txn{Read: []string{key}}, 0)
	return r.Find(key)
}
