package sim

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/kv"
)

// revisionLeap is how far the command that restores lets revisions leap.
const revisionLeap = 1_000_000

// backup returns the metadata store as it is now.
func (w *World) backup() *kv.Store { return w.metadata.store.Clone() }

// goBack makes the metadata store what it was: by the command that restores, which
// marks what may be too old, or behind everybody's back.
func (w *World) goBack(backup *kv.Store, marked bool) {
	m := w.metadata
	w.tracef(nil, "the metadata store goes back to revision %d", backup.Revision())
	if marked {
		m.store.GoBack(backup, revisionLeap)
		m.mark()
	} else {
		m.store.GoBack(backup, 0)
	}
	for _, v := range w.volumes {
		v.config = nil // what comes next does not come from it
		v.attachment = volume.Attachment{}
	}
	m.all = kv.Watch(volume.Prefix)
	m.changed()
}

// mark does to the configurations what the command that restores does. The next
// epochs are above those of all restores before, as the time is.
func (m *metadataService) mark() {
	read, _ := m.store.Do(metadata.Txn{Read: []string{volume.Prefix}}, 0)
	for i := range read.Items {
		item := &read.Items[i]
		if _, part, ok := volume.ParseVolumeKey(item.Key); !ok || part != "config" {
			continue
		}
		c, err := volume.ParseConfig(item.Value)
		if err != nil {
			m.world.fail("records", "configuration in a backup: %v", err)
		}
		c.Restore(block.Epoch(m.store.Cluster())<<32, m.rand.next())
		m.store.Do(metadata.Txn{Ops: []metadata.Op{{Key: item.Key, Value: c.Encode()}}}, 0)
	}
}
