// Package volume is what is recorded about volumes, nodes and disks: the
// configuration that decides who may serve a volume, the specification that a
// user wrote, the keys and JSON under which both are stored, and the errors
// that users see. It holds values and pure rules, no behaviour.
package volume

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
)

// Format is the version of the JSON written to the metadata store. A newer one
// is refused by name.
const Format = 1

// historyMax is how many eras a configuration remembers: older members than
// that are compared in full.
const historyMax = 32

// State is what a member is worth.
type State string

// The states of a member.
const (
	InSync  State = "in-sync" // holds every acknowledged write; part of every acknowledgement
	Syncing State = "syncing" // is being filled; serves nothing, decides nothing
	Out     State = "out"     // lacks acknowledged writes
)

// Member is one replica of a volume as its configuration lists it.
type Member struct {
	Replica     block.ReplicaID   `json:"replica"`
	Node        block.NodeID      `json:"node"`
	Disk        block.DiskID      `json:"disk"`
	State       State             `json:"state"`
	Incarnation block.Incarnation `json:"incarnation,omitempty,string"` // of an InSync or Syncing member: the one that counts
	BootID      block.BootID      `json:"boot"`
}

// Era is one entry of a configuration's history: the records of era Era start
// at First.
type Era struct {
	Era   block.Epoch `json:"era"`
	First block.Seq   `json:"first"`
}

// Coordinator names the session that may serve a volume.
type Coordinator struct {
	Node    block.NodeID  `json:"node"`
	Session block.Session `json:"session,string"`
}

// Config is the configuration of one volume: one key of the metadata store,
// changed only by guarded transactions, each with Epoch one higher. It is
// written at creation, by the tombstone of a deletion, and otherwise only by
// the volume's coordinator.
type Config struct {
	Format       int             `json:"format"`
	Volume       block.VolumeID  `json:"volume"`
	Blocks       uint64          `json:"blocks"`                // size of the volume
	FirstBlocks  uint64          `json:"firstBlocks,omitempty"` // what it was created with, if it has grown
	Epoch        block.Epoch     `json:"epoch"`
	Change       uint64          `json:"change,string"` // random, names this very write
	Coordinator  *Coordinator    `json:"coordinator,omitempty"`
	Members      []Member        `json:"members"`
	History      []Era           `json:"history,omitempty"` // rising in both fields
	HistoryFloor block.Epoch     `json:"historyFloor,omitempty"`
	LossyEra     block.Epoch     `json:"lossyEra,omitempty"` // newest era that began without a valid member
	CleanAt      *block.Position `json:"cleanAt,omitempty"`  // set while detached: the last record
	MinWritable  int             `json:"minWritable"`
	Recovery     string          `json:"recovery"`           // "wait", or "flushed-after DURATION" (reserved)
	Origin       *Origin         `json:"origin,omitempty"`   // of a clone
	Restored     *Restored       `json:"restored,omitempty"` // the metadata store went back, and this may be too old
	Tombstone    bool            `json:"tombstone,omitempty"`
}

// ParseConfig reads what Encode wrote and refuses what breaks its rules.
func ParseConfig(data []byte) (*Config, error) {
	c, err := Parse[Config](data)
	if err != nil {
		return nil, fmt.Errorf("volume configuration: %w", err)
	}
	return &c, nil
}

// Encode writes c as JSON.
func (c *Config) Encode() []byte {
	data, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("volume: configuration cannot be encoded: %v", err)) // no field can fail
	}
	return data
}

// Clone returns a deep copy of c.
func (c *Config) Clone() *Config {
	d := *c
	d.Members = slices.Clone(c.Members)
	d.History = slices.Clone(c.History)
	if c.Coordinator != nil {
		coordinator := *c.Coordinator
		d.Coordinator = &coordinator
	}
	if c.CleanAt != nil {
		at := *c.CleanAt
		d.CleanAt = &at
	}
	if c.Origin != nil {
		origin := *c.Origin
		d.Origin = &origin
	}
	if c.Restored != nil {
		restored := *c.Restored
		d.Restored = &restored
	}
	return &d
}

// Member returns the member that is replica, or nil.
func (c *Config) Member(replica block.ReplicaID) *Member {
	for i := range c.Members {
		if c.Members[i].Replica == replica {
			return &c.Members[i]
		}
	}
	return nil
}

// Count returns how many members are in state s.
func (c *Config) Count(s State) int {
	n := 0
	for i := range c.Members {
		if c.Members[i].State == s {
			n++
		}
	}
	return n
}

// LeastBlocks is how many blocks every copy has that is or ever was in sync.
func (c *Config) LeastBlocks() uint64 { return cmp.Or(c.FirstBlocks, c.Blocks) }

// Virgin reports whether no record was ever written: a member that does not
// exist yet may be made, empty and complete. Of a restored configuration nobody
// knows that: what was written since is not in it.
func (c *Config) Virgin() bool {
	return c.Restored == nil && c.CleanAt != nil && *c.CleanAt == block.Position{} && len(c.History) == 0
}

// AddEra records that era's records start at first. Entries that this makes
// meaningless (no record of theirs survives) go; so do the oldest over the
// limit, whose eras raise HistoryFloor.
func (c *Config) AddEra(era block.Epoch, first block.Seq) {
	c.History = slices.DeleteFunc(c.History, func(e Era) bool { return e.First >= first })
	c.History = append(c.History, Era{Era: era, First: first})
	if over := len(c.History) - historyMax; over > 0 {
		c.HistoryFloor = c.History[over-1].Era
		c.History = slices.Delete(c.History, 0, over)
	}
}

// FirstAfter returns the first seq of the lowest era above e: a record (e, s)
// with s at or above it was dropped by a takeover. ok is false if no era above
// e has records.
func (c *Config) FirstAfter(e block.Epoch) (first block.Seq, ok bool) {
	for _, h := range c.History {
		if h.Era > e {
			return h.First, true
		}
	}
	return 0, false
}

// Check returns an error naming the first rule of a configuration that c breaks.
func (c *Config) Check() error {
	if c.Count(InSync) == 0 && !c.Tombstone {
		return fmt.Errorf("volume %v: no member is in sync", c.Volume)
	}
	for i := range c.Members {
		if slices.ContainsFunc(c.Members[:i], func(m Member) bool { return m.Replica == c.Members[i].Replica }) {
			return fmt.Errorf("volume %v: replica %v is listed twice", c.Volume, c.Members[i].Replica)
		}
	}
	for i := 1; i < len(c.History); i++ {
		if c.History[i].Era <= c.History[i-1].Era || c.History[i].First <= c.History[i-1].First {
			return fmt.Errorf("volume %v: history is not rising at era %d", c.Volume, c.History[i].Era)
		}
	}
	return nil
}
