package orchestrator_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

// told takes what a node has told since the last call, a line an event.
func (m *machine) told() []string {
	var lines []string
	for _, e := range m.events {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%s %s%s", e.Kind, e.Volume, e.Node), " "))
	}
	m.events = []volume.Event{}
	return lines
}

// wantTold insists that every node that hears tells the same.
func (c *cluster) wantTold(want ...string) {
	c.t.Helper()
	for _, m := range c.nodes {
		if got := m.told(); !m.deaf && !slices.Equal(got, want) {
			c.t.Errorf("node %s told %q, want %q", m.record.Name, got, want)
		}
	}
}

// setMember writes the state of a volume's last member as its coordinator would.
func (c *cluster) setMember(id block.VolumeID, state volume.State) {
	c.t.Helper()
	config := c.config(id)
	config.Members[len(config.Members)-1].State = state
	config.Epoch++
	c.set(0, metadata.Op{Key: volume.ConfigKey(id), Value: config.Encode()}, c.revision()+1)
	c.run()
}

func TestEveryNodeTellsTheLifeOfAVolume(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	a, b := c.nodes[0], c.nodes[1]
	if joined := b.told(); len(joined) != 4 {
		t.Errorf("told %q", joined)
	}
	a.told()
	id := a.create("name=db,size=1GiB,replicas=2").Volume
	c.wantTold("volume-created db")
	a.do(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	c.wantTold("volume-attached dba")
	b.do(volume.Command{Kind: volume.AttachVolume, Name: "db", Force: true})
	if text := a.events[0].Text; text != "volume db moved from node a to node b" {
		t.Errorf("told %q", text)
	}
	c.wantTold("volume-attached dbb")
	c.setMember(id, volume.Out)
	if text := a.events[0].Text; !strings.HasPrefix(text, "volume db has 1 of 2 copies in sync, the one on node ") || !strings.HasSuffix(text, " is out") {
		t.Errorf("told %q", text)
	}
	c.wantTold("volume-degraded db")
	c.setMember(id, volume.Syncing)
	c.wantTold()
	c.setMember(id, volume.InSync)
	c.wantTold("volume-healed db")
	b.do(volume.Command{Kind: volume.MarkFormatted, Name: "db"})
	c.wantTold()
	b.do(volume.Command{Kind: volume.DetachVolume, Name: "db"})
	c.wantTold("volume-released dbb")
	b.do(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
	c.wantTold("volume-deleted db")
	c.check()
}

func TestTallyCountsVolumesByHealth(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	a := c.nodes[0]
	lost := a.create("name=lost,size=1GiB,replicas=2").Volume
	unread := a.create("name=unread,size=1GiB,replicas=2").Volume
	for _, name := range []string{"good", "stalls", "goes"} {
		a.create("name=" + name + ",size=1GiB,replicas=2")
	}
	c.setMember(lost, volume.Out)
	c.set(0, metadata.Op{Key: volume.SpecKey(unread), Value: []byte(`{"format":2}`)}, c.revision()+1)
	a.do(volume.Command{Kind: volume.AttachVolume, Name: "stalls"})
	c.nodes[1].queue, c.nodes[1].deaf = nil, true // it does not free its copy
	a.do(volume.Command{Kind: volume.DeleteVolume, Name: "goes"})
	want := map[volume.Health]int{volume.Healthy: 1, volume.Degraded: 1, volume.Stalled: 1, volume.Deleting: 1, volume.Unreadable: 1}
	if got := a.o.Tally(); !maps.Equal(got, want) || a.o.UnderWay() != 0 {
		t.Errorf("%v, want %v; %d commands are under way", got, want, a.o.UnderWay())
	}
}

func TestEveryLostCopyIsTold(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 20*gib)
	id := c.nodes[0].create("name=db,size=1GiB,replicas=3").Volume
	c.nodes[0].told()
	config := c.config(id)
	var told []string
	for _, states := range [][]volume.State{
		{volume.InSync, volume.InSync, volume.Out},
		{volume.InSync, volume.Out, volume.Out},
		{volume.InSync, volume.Syncing, volume.Out},
		{volume.InSync, volume.InSync, volume.Out},
		{volume.InSync, volume.Out, volume.Out},
		{volume.InSync, volume.InSync, volume.InSync},
	} {
		for i, state := range states {
			config.Members[i].State = state
		}
		config.Epoch++
		c.set(0, metadata.Op{Key: volume.ConfigKey(id), Value: config.Encode()}, c.revision()+1)
		c.run()
		told = append(told, strings.Join(c.nodes[0].told(), "+"))
	}
	if want := []string{"volume-degraded db", "volume-degraded db", "", "", "volume-degraded db", "volume-healed db"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestNodesComeGoAndAreRemoved(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	a, b := c.nodes[0], c.nodes[1]
	for _, m := range c.nodes {
		joined := m.told()
		slices.Sort(joined)
		if !slices.Equal(joined, []string{"disk-added a", "disk-added b", "node-joined a", "node-joined b"}) {
			t.Errorf("told %q", joined)
		}
	}
	c.kill(b)
	c.run()
	c.wantTold("node-silent b")
	b.deaf = false
	b.start()
	c.run()
	c.wantTold("node-back b")
	c.kill(b)
	c.set(0, metadata.Op{Key: volume.NodeKey(b.record.ID), Delete: true}, c.revision()+1)
	c.run()
	if got := a.told(); !slices.Equal(got, []string{"node-silent b", "node-removed b"}) && !slices.Equal(got, []string{"node-removed b"}) {
		t.Errorf("told %q", got)
	}
}

func TestDiskThatFailsAndIsBackIsTold(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	m := c.nodes[1]
	c.nodes[0].told()
	m.told()
	c.record(m, "it is broken")
	if e := c.nodes[0].events; len(e) != 1 || e[0].Disk != m.disk.String() || !strings.HasSuffix(e[0].Text, "of node b cannot be used: it is broken") {
		t.Errorf("told %+v", e)
	}
	c.wantTold("disk-failed b")
	c.record(m, "it is very broken")
	c.wantTold()
	c.record(m, "")
	c.wantTold("disk-back b")
}

// record writes what is wrong with a node's disk as that node would.
func (c *cluster) record(m *machine, unusable string) {
	disk := m.o.Disks()[m.index]
	disk.Unusable = unusable
	c.set(m.index, metadata.Op{Key: volume.DiskKey(m.disk), Value: volume.Encode(disk)}, c.revision()+1)
	c.run()
}

func TestFirstRecordsAreNoNews(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	id := c.nodes[0].create("name=db,size=1GiB,replicas=2").Volume
	c.nodes[0].do(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	c.setMember(id, volume.Out)
	c.record(c.nodes[0], "it is broken")
	c.nodes[1].start() // while its former life still counts as alive
	c.run()
	if got := c.nodes[1].told(); len(got) > 0 {
		t.Errorf("told %q", got)
	}
	c.setMember(id, volume.InSync)
	if got := c.nodes[1].told(); !slices.Equal(got, []string{"volume-healed db"}) {
		t.Errorf("told %q", got)
	}
}

// A node that was cut off for so long that the store has forgotten the changes
// hears what is: it tells where things have come to, once.
func TestListingAnewTellsWhereThingsHaveCome(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib, 20*gib)
	a, cut := c.nodes[0], c.nodes[2]
	a.create("name=keeps,size=1GiB,replicas=2")
	a.create("name=goes,size=1GiB,replicas=2")
	cut.told()
	cut.deaf = true
	for range 3 {
		a.do(volume.Command{Kind: volume.AttachVolume, Name: "keeps"})
		a.do(volume.Command{Kind: volume.DetachVolume, Name: "keeps"})
	}
	a.do(volume.Command{Kind: volume.AttachVolume, Name: "keeps"})
	a.do(volume.Command{Kind: volume.DeleteVolume, Name: "goes"})
	a.create("name=goes,size=2GiB,replicas=2")
	a.create("name=short,size=1GiB,replicas=2")
	a.do(volume.Command{Kind: volume.DeleteVolume, Name: "short"})
	cut.deaf, cut.watched = false, -1
	c.run()
	got := cut.told()
	slices.Sort(got[1:])
	if want := []string{"volume-deleted goes", "volume-attached keepsa", "volume-created goes"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	cut.watched = -1
	c.run()
	if got := cut.told(); len(got) > 0 {
		t.Errorf("listed twice, told %q", got)
	}
}

func TestWhatCannotBeReadIsNoNews(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	id := c.nodes[0].create("name=db,size=1GiB,replicas=2").Volume
	right := c.items[volume.ConfigKey(id)].Value
	c.nodes[0].told()
	write := func(value []byte) {
		c.set(0, metadata.Op{Key: volume.ConfigKey(id), Value: value}, c.revision()+1)
		c.run()
	}
	write([]byte(`{"format":2}`))
	c.nodes[1].start()
	c.run()
	write(right)
	for _, m := range c.nodes {
		if got := m.told(); len(got) > 0 && !slices.Equal(got, []string{"node-joined a", "node-joined b", "volume-created db"}) {
			t.Errorf("node %s told %q", m.record.Name, got)
		}
	}
}

// heard is what somebody knows who has nothing but the events.
type heard struct {
	holders  map[string]string // volume → node, "" if none
	degraded map[string]bool
	nodes    map[string]bool // → silent
	disks    map[string]bool // → failed
	attached map[string]int  // events
}

// standing is what is recorded, as somebody would know it from events. It asks
// the view, which is tested alone.
func standing(items map[string]metadata.Item) heard {
	v := view.New(block.NodeID{})
	first := &metadata.Update{Snapshot: true}
	for _, key := range slices.Sorted(maps.Keys(items)) {
		first.Changes = append(first.Changes, metadata.Change{Item: items[key]})
		first.Revision = max(first.Revision, items[key].Revision)
	}
	v.Watched(1, first)
	h := heard{map[string]string{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]int{}}
	for _, id := range v.Volumes() {
		held := v.Volume(id)
		if held.Config.Value == nil || held.Config.Value.Tombstone || held.Spec.Value == nil {
			continue
		}
		name := held.Spec.Value.Name
		h.holders[name] = ""
		if a := held.Attachment.Value; a != nil {
			h.holders[name] = string(rune('a' - 1 + a.Node[15]))
		}
		if held.Config.Value.Count(volume.InSync) < held.Spec.Value.Replicas {
			h.degraded[name] = true
		}
	}
	for _, id := range v.Nodes() {
		if n := v.Node(id); n.Record.Value != nil {
			h.nodes[n.Record.Value.Name] = n.Alive.Revision == 0
		}
	}
	for _, d := range v.Disks() {
		h.disks[d.ID.String()] = d.Unusable != ""
	}
	return h
}

// take adds an event, and says what is wrong with it: it told nothing new.
func (h *heard) take(e *volume.Event) string {
	holder, exists := h.holders[e.Volume]
	silent, recorded := h.nodes[e.Node]
	wrong := false
	switch e.Kind {
	case volume.VolumeCreated:
		wrong = exists
		h.holders[e.Volume] = ""
	case volume.VolumeDeleted:
		wrong = !exists
		delete(h.holders, e.Volume)
		delete(h.degraded, e.Volume)
	case volume.VolumeAttached:
		wrong = !exists
		h.holders[e.Volume] = e.Node
		h.attached[e.Volume]++
	case volume.VolumeReleased:
		wrong = !exists || holder == "" || holder != e.Node
		h.holders[e.Volume] = ""
	case volume.VolumeDegraded, volume.VolumeHealed:
		wrong = !exists || h.degraded[e.Volume] == (e.Kind == volume.VolumeDegraded)
		h.degraded[e.Volume] = e.Kind == volume.VolumeDegraded
	case volume.NodeJoined:
		wrong = recorded
		h.nodes[e.Node] = false
	case volume.NodeSilent, volume.NodeBack:
		wrong = !recorded || silent == (e.Kind == volume.NodeSilent)
		h.nodes[e.Node] = e.Kind == volume.NodeSilent
	case volume.NodeRemoved:
		wrong = !recorded
		delete(h.nodes, e.Node)
	case volume.DiskAdded:
		_, wrong = h.disks[e.Disk]
		h.disks[e.Disk] = false
	case volume.DiskRemoved:
		_, there := h.disks[e.Disk]
		wrong = !there
		delete(h.disks, e.Disk)
	case volume.DiskFailed, volume.DiskBack:
		wrong = h.disks[e.Disk] == (e.Kind == volume.DiskFailed)
		h.disks[e.Disk] = e.Kind == volume.DiskFailed
	default:
		return "is of no known kind"
	}
	if wrong {
		return "tells nothing new, or of nothing that is there"
	}
	return ""
}

// checkEvents insists that what a node has told of since this life first looked
// leads to what is, that nothing was told twice, and no attachment that was never made.
func (m *machine) checkEvents() {
	m.c.t.Helper()
	h := standing(m.first)
	for i := range m.events {
		if wrong := h.take(&m.events[i]); wrong != "" {
			m.c.t.Errorf("node %s, event %d: %+v %s", m.record.Name, i, m.events[i], wrong)
		}
	}
	now := standing(m.c.items)
	maps.DeleteFunc(h.degraded, func(_ string, is bool) bool { return !is })
	if !maps.Equal(h.holders, now.holders) || !maps.Equal(h.degraded, now.degraded) || !maps.Equal(h.nodes, now.nodes) || !maps.Equal(h.disks, now.disks) {
		m.c.t.Errorf("node %s: by its events things stand at %+v, they are %+v", m.record.Name, h, now)
	}
	made := m.c.attachments()
	for name, n := range h.attached { // any order: each is judged alone
		if n > made[name] {
			m.c.t.Errorf("node %s told of %d attachments of volume %s, %d were made", m.record.Name, n, name, made[name])
		}
	}
}

// attachments counts those that were ever recorded, by the name of the volume. A
// transaction of unknown outcome may have made one twice.
func (c *cluster) attachments() map[string]int {
	names, made := map[block.VolumeID]string{}, map[string]int{}
	last := map[block.VolumeID]string{}
	for _, change := range c.changes {
		id, part, _ := volume.ParseVolumeKey(change.Key)
		switch {
		case part == "attachment" && change.Deleted:
			delete(last, id)
		case part == "attachment":
			a, _ := volume.Parse[volume.Attachment](change.Value)
			if now := fmt.Sprint(a.Node, a.Number); now != last[id] {
				last[id] = now
				made[names[id]]++
			}
		case part == "spec" && !change.Deleted:
			spec, _ := volume.Parse[volume.Spec](change.Value)
			names[id] = spec.Name
		}
	}
	return made
}
