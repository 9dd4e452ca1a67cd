// Package view is what one node knows of the metadata store: every record below
// volume.Prefix, parsed and indexed by volume. It is fed by the watch and, ahead
// of it, by the answers to the node's own transactions; it may lag behind the
// store, so whoever decides by it guards what was read by its revision. Its
// caller is the orchestrator.
//
//	watch:        put 5 ── delete 7 ── put 9 ──▶ ┌──────┐
//	transactions:    read at 8: absent ────────▶ │ View │ the newest state of each key wins
//	                                             └──────┘
//
// Invariant: a key's state never goes back in revisions.
package view

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// Item is one record. A key that does not exist has revision 0.
type Item[T any] struct {
	Revision metadata.Revision
	Value    *T    // nil if there is none or it cannot be read; never changed once set
	Problem  error // why it cannot be read
}

// Volume is all that is recorded of one volume.
type Volume struct {
	Spec       Item[volume.Spec]
	Config     Item[volume.Config]
	Attachment Item[volume.Attachment]
	Snapshots  Item[volume.Snapshots]
	Placement  Item[volume.Placement]
}

// Exists reports whether anything is recorded.
func (v *Volume) Exists() bool {
	return v.Spec.Revision != 0 || v.Config.Revision != 0 || v.Attachment.Revision != 0 || v.Snapshots.Revision != 0 ||
		v.Placement.Revision != 0
}

// Node is all that is recorded of one node.
type Node struct {
	Record      Item[volume.Node]
	Alive       Item[string]
	Spec        Item[volume.NodeSpec]
	SilentSince step.Time // when it ceased to be heard from; 0: before this view began, or it is alive
}

// View is the state of the metadata store; see the package comment.
type View struct {
	self    block.NodeID
	known   bool
	newest  metadata.Revision
	watched metadata.Revision // the watch has told of everything up to here
	volumes map[block.VolumeID]*Volume
	names   map[string]Item[block.VolumeID]
	nodes   map[block.NodeID]*Node
	disks   map[block.DiskID]*Item[volume.Disk]
	removed map[block.NodeID]*Item[volume.Removed]
	balance Item[volume.Rebalance]
	onDisk  map[block.DiskID]map[block.VolumeID]bool // members on the node's own disks
	ahead   map[string]metadata.Revision             // keys read at a revision that the watch has not reached
	changed map[block.VolumeID]bool

	scheduled map[block.VolumeID]volume.Schedule // of snapshots, of those that have one

	nodesChanged map[block.NodeID]bool
	disksChanged map[block.DiskID]bool
}

// New returns an empty view of the node self.
func New(self block.NodeID) *View {
	return &View{
		self:    self,
		volumes: map[block.VolumeID]*Volume{},
		names:   map[string]Item[block.VolumeID]{},
		nodes:   map[block.NodeID]*Node{},
		disks:   map[block.DiskID]*Item[volume.Disk]{},
		removed: map[block.NodeID]*Item[volume.Removed]{},
		onDisk:  map[block.DiskID]map[block.VolumeID]bool{},
		ahead:   map[string]metadata.Revision{},
		changed: map[block.VolumeID]bool{},

		scheduled: map[block.VolumeID]volume.Schedule{},

		nodesChanged: map[block.NodeID]bool{},
		disksChanged: map[block.DiskID]bool{},
	}
}

// Known reports whether a whole snapshot has arrived: before that, nothing may
// be concluded from what is missing.
func (v *View) Known() bool { return v.known }

// Newest is the highest revision heard of.
func (v *View) Newest() metadata.Revision { return v.newest }

// Watched takes an update of the watch.
func (v *View) Watched(now step.Time, u *metadata.Update) {
	v.newest = max(v.newest, u.Revision)
	if ignoreCompaction && u.Snapshot && v.known {
		return
	}
	if u.Snapshot {
		v.known = true
		v.forgetAllBut(now, u)
	}
	for i := range u.Changes {
		if c := &u.Changes[i]; c.Revision > v.seenUpTo(c.Key) {
			v.apply(now, c)
		}
	}
	if v.watched = max(v.watched, u.Revision); u.Snapshot {
		v.watched = u.Revision // also of a store that was restored from a backup
	}
	maps.DeleteFunc(v.ahead, func(_ string, at metadata.Revision) bool { return at <= u.Revision }) // any order: each is judged alone
}

// forgetAllBut deletes what a snapshot does not hold.
func (v *View) forgetAllBut(now step.Time, u *metadata.Update) {
	present := make(map[string]bool, len(u.Changes))
	for i := range u.Changes {
		present[u.Changes[i].Key] = true
	}
	for _, key := range v.keys() {
		if !present[key] && v.seenUpTo(key) < u.Revision {
			v.apply(now, &metadata.Change{Item: metadata.Item{Key: key, Revision: u.Revision}, Deleted: true})
		}
	}
}

// seenUpTo is the revision up to which changes of key are already known from
// transactions.
func (v *View) seenUpTo(key string) metadata.Revision {
	folder := key[:strings.LastIndexByte(key, '/')+1]
	return max(v.ahead[key], v.ahead[folder])
}

// Answered takes what the answer to a transaction says: what it wrote, and what
// it read. One that the watch has overtaken says nothing new, and would bring
// back what was deleted since: of that no revision is kept.
func (v *View) Answered(now step.Time, txn *metadata.Txn, res *metadata.Result) {
	if res.Outcome == metadata.Unknown {
		return
	}
	v.newest = max(v.newest, res.Revision)
	if res.Revision <= v.watched {
		return
	}
	if res.Outcome == metadata.Applied {
		for _, op := range txn.Ops {
			v.learn(now, &metadata.Change{Item: metadata.Item{Key: op.Key, Value: op.Value, Revision: res.Revision}, Deleted: op.Delete}, res.Revision)
		}
	}
	for _, asked := range txn.Read {
		for _, key := range v.match(asked) {
			if _, found := res.Find(key); !found {
				v.learn(now, &metadata.Change{Item: metadata.Item{Key: key, Revision: res.Revision}, Deleted: true}, res.Revision)
			}
		}
		v.ahead[asked] = max(v.ahead[asked], res.Revision)
	}
	for i := range res.Items {
		v.learn(now, &metadata.Change{Item: res.Items[i]}, res.Revision)
	}
}

func (v *View) learn(now step.Time, c *metadata.Change, at metadata.Revision) {
	if at < v.seenUpTo(c.Key) {
		return
	}
	v.apply(now, c)
	v.ahead[c.Key] = max(v.ahead[c.Key], at)
}

// match returns the known keys that a read of asked names: itself, or those
// below a folder.
func (v *View) match(asked string) []string {
	switch asked {
	case volume.NodesPrefix, volume.AlivePrefix, volume.DisksPrefix, volume.NodeSpecsPrefix:
		keys := v.machineKeys()
		return slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, asked) })
	}
	return []string{asked}
}

// apply changes one key unless a newer state of it is known.
func (v *View) apply(now step.Time, c *metadata.Change) {
	if id, part, ok := volume.ParseVolumeKey(c.Key); ok {
		v.applyVolume(id, part, c)
		return
	}
	if name, ok := strings.CutPrefix(c.Key, volume.NamesPrefix); ok {
		v.applyName(name, c)
		return
	}
	if text, ok := strings.CutPrefix(c.Key, volume.RemovedPrefix); ok {
		v.applyRemoved(text, c)
		return
	}
	if c.Key == volume.RebalanceKey {
		update(&v.balance, c, volume.Parse[volume.Rebalance])
		return
	}
	v.applyMachine(now, c)
}

// applyName changes whose a name is: news of the volume that had it and of the
// one that has it now.
func (v *View) applyName(name string, c *metadata.Change) {
	item := v.names[name]
	before := item.Value
	if !update(&item, c, parseID) {
		return
	}
	for _, id := range []*block.VolumeID{before, item.Value} {
		if id != nil {
			v.changed[*id] = true
		}
	}
	v.names[name] = item
	if item.Revision == 0 {
		delete(v.names, name)
	}
}

func (v *View) applyVolume(id block.VolumeID, part string, c *metadata.Change) {
	held := v.volumes[id]
	if held == nil {
		held = &Volume{}
	}
	changed := false
	switch part {
	case "spec":
		changed = update(&held.Spec, c, volume.Parse[volume.Spec])
		v.indexSchedule(id, held.Spec.Value)
	case "config":
		v.indexMembers(id, held.Config.Value, false)
		changed = update(&held.Config, c, parseConfig)
		v.indexMembers(id, held.Config.Value, true)
	case "attachment":
		changed = update(&held.Attachment, c, volume.Parse[volume.Attachment])
	case "snapshots":
		changed = update(&held.Snapshots, c, volume.Parse[volume.Snapshots])
	case "placement":
		changed = update(&held.Placement, c, volume.Parse[volume.Placement])
	}
	if !changed {
		return
	}
	v.changed[id] = true
	v.volumes[id] = held
	if !held.Exists() {
		delete(v.volumes, id)
	}
}

// indexMembers lists, or no longer lists, a volume on the own disks of its members.
func (v *View) indexMembers(id block.VolumeID, config *volume.Config, listed bool) {
	if config == nil {
		return
	}
	for _, m := range config.Members {
		switch {
		case m.Node != v.self:
		case !listed:
			delete(v.onDisk[m.Disk], id)
		default:
			if v.onDisk[m.Disk] == nil {
				v.onDisk[m.Disk] = map[block.VolumeID]bool{}
			}
			v.onDisk[m.Disk][id] = true
		}
	}
}

// indexSchedule keeps the schedule of a volume at hand. One that a newer version
// wrote, and this one cannot read, is for nodes of that version.
func (v *View) indexSchedule(id block.VolumeID, spec *volume.Spec) {
	delete(v.scheduled, id)
	if spec == nil || spec.Schedule == "" {
		return
	}
	if schedule, err := volume.ParseSchedule(spec.Schedule); err == nil {
		v.scheduled[id] = schedule
	}
}

func (v *View) applyMachine(now step.Time, c *metadata.Change) {
	text, isDisk := strings.CutPrefix(c.Key, volume.DisksPrefix)
	if isDisk {
		v.applyDisk(text, c)
		return
	}
	text, isAlive := strings.CutPrefix(c.Key, volume.AlivePrefix)
	text, isNode := strings.CutPrefix(text, volume.NodesPrefix)
	text, isSpec := strings.CutPrefix(text, volume.NodeSpecsPrefix)
	var id block.NodeID
	if !isAlive && !isNode && !isSpec || id.UnmarshalText([]byte(text)) != nil {
		return // a kind of record that this version does not know
	}
	held := v.nodes[id]
	if held == nil {
		held = &Node{}
	}
	changed := false
	switch {
	case isNode:
		changed = update(&held.Record, c, volume.Parse[volume.Node])
	case isSpec:
		changed = update(&held.Spec, c, volume.Parse[volume.NodeSpec])
	default:
		if changed = update(&held.Alive, c, func(data []byte) (string, error) { return string(data), nil }); changed {
			held.SilentSince = 0
			if c.Deleted {
				held.SilentSince = now
			}
		}
	}
	if changed {
		v.nodesChanged[id] = true
	}
	v.nodes[id] = held
	if held.Record.Revision == 0 && held.Alive.Revision == 0 && held.Spec.Revision == 0 {
		delete(v.nodes, id)
	}
}

func (v *View) applyDisk(text string, c *metadata.Change) {
	var id block.DiskID
	if id.UnmarshalText([]byte(text)) != nil {
		return
	}
	held := v.disks[id]
	if held == nil {
		held = &Item[volume.Disk]{}
	}
	if update(held, c, volume.Parse[volume.Disk]) {
		v.disksChanged[id] = true
		v.disks[id] = held
		if held.Revision == 0 {
			delete(v.disks, id)
			v.changeNamesRemoved()
		}
	}
}

// update makes it what c says, and reports whether that was news.
func update[T any](it *Item[T], c *metadata.Change, parse func([]byte) (T, error)) bool {
	switch {
	case c.Deleted && (it.Revision == 0 || it.Revision > c.Revision), !c.Deleted && it.Revision >= c.Revision:
		return false
	case c.Deleted:
		*it = Item[T]{}
		return true
	}
	*it = Item[T]{Revision: c.Revision}
	value, err := parse(bytes.Clone(c.Value))
	if err != nil {
		it.Problem = fmt.Errorf("%s: %w", c.Key, err)
		return true
	}
	it.Value = &value
	return true
}

func parseID(data []byte) (id block.VolumeID, err error) { return id, id.UnmarshalText(data) }

func parseConfig(data []byte) (volume.Config, error) {
	config, err := volume.ParseConfig(data)
	if err != nil {
		return volume.Config{}, err
	}
	return *config, nil
}
