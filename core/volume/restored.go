package volume

import "github.com/lagan-storage/lagan/core/block"

// epochLeap lies between the epochs of a restored configuration and all that there
// were before: more changes than a configuration sees in its life.
const epochLeap block.Epoch = 1 << 20

// Restored says that the metadata store went back to an older state, and that
// nobody has shown yet that this configuration was the newest one all the same.
// While it stands no session serves the volume.
type Restored struct {
	Epoch block.Epoch  `json:"epoch"`           // what the configuration had in the backup
	Since block.Epoch  `json:"since"`           // those between Epoch and this one are lost
	Known block.Epoch  `json:"known,omitempty"` // the newest lost one that is known of; 0: none
	Node  block.NodeID `json:"node"`            // whose copy knows of Known
}

// Restore marks a configuration that came out of a backup. since is above every
// epoch that any configuration of the volume ever had, and another one for each
// restore of the cluster: what copies have promised meanwhile is below it.
func (c *Config) Restore(since block.Epoch, change uint64) {
	mark := Restored{Epoch: c.Epoch}
	if c.Restored != nil {
		mark = *c.Restored // what was not shown then is not shown now
	}
	mark.Since = max(since, c.Epoch+epochLeap)
	c.Restored, c.Epoch, c.Change, c.Coordinator = &mark, mark.Since, change, nil
}

// Accuse notes that a copy on a node knows of a configuration that is newer than
// this one and that this one does not come from.
func (c *Config) Accuse(known block.Epoch, node block.NodeID) {
	if c.Restored == nil { // nobody said that the store went back
		c.Restore(max(known, c.Epoch)+epochLeap, c.Change)
	}
	if known > c.Restored.Known {
		c.Restored.Known, c.Restored.Node = known, node
	}
}

// Regressed reports whether a copy knows of a newer configuration that is lost.
func (c *Config) Regressed() bool { return c.Restored != nil && c.Restored.Known != 0 }

// Lost reports whether epoch e was of a configuration that the metadata store
// lost when it went back.
func (c *Config) Lost(e block.Epoch) bool {
	return c.Restored != nil && e > c.Restored.Epoch && e < c.Restored.Since
}

// Leaps reports whether a configuration of epoch next cannot have come from one
// of epoch known by changes: the metadata store was restored in between.
func Leaps(known, next block.Epoch) bool { return next > known && next-known >= epochLeap }
