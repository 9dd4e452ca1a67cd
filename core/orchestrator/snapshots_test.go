package orchestrator_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

const noon = "2026-01-02T12:00:00Z"

// take is the command for a snapshot of db.
func take(name string) volume.Command {
	return volume.Command{Kind: volume.CreateSnapshot, Name: "db", Snapshot: name, Time: noon}
}

func drop(name string) volume.Command {
	return volume.Command{Kind: volume.DeleteSnapshot, Name: "db", Snapshot: name}
}

func restore(name string) volume.Command {
	return volume.Command{Kind: volume.RestoreSnapshot, Name: "db", Snapshot: name, As: "before-" + name, Time: noon}
}

// db makes a cluster with a volume that nobody has.
func db(t *testing.T, seed uint64) (c *cluster, id block.VolumeID) {
	t.Helper()
	c = newCluster(t, seed, 20*gib, 20*gib, 20*gib)
	return c, c.nodes[0].create("name=db,size=1GiB,replicas=2").Volume
}

// must carries out a command and insists that it is done.
func (m *machine) must(c volume.Command) volume.Answer {
	m.c.t.Helper()
	a := m.do(c)
	if a.Err != nil {
		m.c.t.Fatal(a.Err)
	}
	return a
}

// list writes what snapshots a volume has.
func (c *cluster) list(id block.VolumeID) string {
	var all []string
	if l := c.snapshots(id); l != nil {
		for _, s := range l.List {
			all = append(all, fmt.Sprintf("%s %s", s.Name, s.State))
		}
	}
	return strings.Join(all, ", ")
}

func TestSnapshotOfAnAttachedVolumeIsMadeByItsSession(t *testing.T) {
	for seed := range uint64(50) {
		c, id := attached(t, seed)
		c.nodes[1].must(take("monday"))
		if got := c.list(id); got != "monday ready" || c.attachedTo(id) != 0 || c.attachment(id).Upkeep {
			t.Fatalf("seed %d: %s; attached to %d", seed, got, c.attachedTo(id))
		}
		c.check()
	}
}

func TestSnapshotOfAVolumeThatNobodyHasIsMadeAllTheSame(t *testing.T) {
	for seed := range uint64(50) {
		c, id := db(t, seed)
		c.nodes[2].must(take("monday"))
		c.nodes[1].must(drop("monday"))
		if got := c.list(id); got != "" || c.attachedTo(id) != -1 {
			t.Fatalf("seed %d: %q; attached to %d", seed, got, c.attachedTo(id))
		}
		for _, m := range c.nodes {
			for _, e := range m.events {
				if e.Kind == volume.VolumeAttached || e.Kind == volume.VolumeReleased {
					t.Fatalf("seed %d: upkeep is told as %+v", seed, e)
				}
			}
		}
		c.check()
	}
}

func TestSnapshotAskedForTwiceIsOne(t *testing.T) {
	for seed := range uint64(50) {
		c, id := db(t, seed)
		c.unknown = 20
		var asked []uint64
		for _, m := range c.nodes {
			asked = append(asked, m.ask(take("monday")))
		}
		c.run()
		for i, m := range c.nodes {
			if a := m.answer(asked[i]); a.Err != nil {
				t.Fatalf("seed %d: %v", seed, a.Err)
			}
		}
		if got := c.list(id); got != "monday ready" {
			t.Fatalf("seed %d: %s", seed, got)
		}
		scheduled := take("monday")
		scheduled.Rule = "daily=12:00"
		c.unknown = 0
		want(t, c.nodes[1].do(scheduled), volume.ErrNameTaken)
	}
}

func TestSnapshotThatFailedIsToldAndMayBeAskedForAgain(t *testing.T) {
	c, id := attached(t, 1)
	c.nodes[0].failing = "no room on node b"
	a := c.nodes[1].do(take("monday"))
	want(t, a, volume.ErrNoSpace)
	if !strings.Contains(a.Err.Error(), "no room on node b") || c.list(id) != "monday failed" {
		t.Errorf("%v; %s", a.Err, c.list(id))
	}
	want(t, c.nodes[1].do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=x,parent=db@monday")}), volume.ErrSnapshotNotReady)
	c.nodes[0].failing = ""
	c.nodes[1].must(take("monday"))
	if c.list(id) != "monday ready" {
		t.Error(c.list(id))
	}
	c.nodes[0].failing = "no room"
	want(t, c.nodes[0].do(take("tuesday")), volume.ErrNoSpace)
	c.nodes[0].idle = true
	c.nodes[1].must(drop("tuesday")) // no session has to do anything for it
	c.check()
}

func TestVolumeHasNoMoreSnapshotsThanItCanHave(t *testing.T) {
	c, id := attached(t, 1)
	list := &volume.Snapshots{Format: volume.Format, Volume: id}
	for i := range volume.SnapshotsMax {
		list.List = append(list.List, volume.Snapshot{Layer: block.LayerID(i + 1), Name: fmt.Sprint("s", i), State: volume.SnapshotReady})
	}
	c.set(0, metadata.Op{Key: volume.SnapshotsKey(id), Value: volume.Encode(*list)}, c.revision()+1)
	want(t, c.nodes[0].do(take("one-more")), volume.ErrSnapshotLimit)
	want(t, c.nodes[0].do(drop("none")), volume.ErrSnapshotNotFound)
	want(t, c.nodes[0].do(take("a/b")), volume.ErrInvalidName)
	other := take("x")
	other.Name = "none"
	want(t, c.nodes[0].do(other), volume.ErrVolumeNotFound)
}

func TestSnapshotThatTakesLongIsToldToGoOn(t *testing.T) {
	c, id := attached(t, 1)
	c.nodes[0].idle = true
	first := c.nodes[1].ask(take("monday"))
	c.run()
	if a := c.nodes[1].do(volume.Command{Kind: volume.DetachVolume, Name: "none"}); a.Err == nil {
		t.Error("other commands wait behind it")
	}
	c.pass(31e9)
	a := c.nodes[1].answer(first)
	want(t, a, volume.ErrSnapshotPending)
	again := c.nodes[1].ask(take("monday"))
	c.run()
	c.nodes[0].idle = false
	c.nodes[0].tend(id)
	c.run()
	if a := c.nodes[1].answer(again); a.Err != nil {
		t.Error(a.Err)
	}
}

func TestSnapshotBeingMadeCanBeGivenUp(t *testing.T) {
	c, id := attached(t, 1)
	c.nodes[0].idle = true
	made := c.nodes[1].ask(take("monday"))
	c.run()
	given := c.nodes[2%len(c.nodes)].ask(drop("monday"))
	c.run()
	c.nodes[0].idle = false
	c.nodes[0].tend(id)
	c.run()
	if a := c.nodes[0].answer(given); a.Err != nil || c.list(id) != "" {
		t.Errorf("%v; %s", a.Err, c.list(id))
	}
	want(t, c.nodes[1].answer(made), volume.ErrSnapshotDeleted)
}

func TestSnapshotIsFinishedWhenItsNodeDies(t *testing.T) {
	for seed := range uint64(30) {
		c, id := db(t, seed)
		c.nodes[2].idle = true
		c.nodes[2].ask(take("monday"))
		c.run()
		if a := c.attachment(id); a == nil || !a.Upkeep || c.attachedTo(id) != 2 {
			t.Fatalf("seed %d: %+v", seed, a)
		}
		c.kill(c.nodes[2])
		c.run()
		c.pass(8e9)
		if c.list(id) != "monday ready" || c.attachedTo(id) != -1 {
			t.Fatalf("seed %d: %s, attached to %d", seed, c.list(id), c.attachedTo(id))
		}
	}
}

func TestUpkeepIsInNobodysWay(t *testing.T) {
	for seed := range uint64(100) {
		c, id := db(t, seed)
		c.nodes[0].idle, c.nodes[2].idle = true, true // it never ends by itself
		c.nodes[2].ask(take("monday"))
		for range c.random.IntN(40) {
			if all := c.choices(); len(all) > 0 {
				all[c.random.IntN(len(all))]()
			}
		}
		who := int(seed % 3)
		asked := c.nodes[who].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
		c.run()
		c.pass(4e9)
		if a := c.nodes[who].answer(asked); a.Err != nil || c.attachedTo(id) != who || c.attachment(id).Upkeep || c.now > 5e9 {
			t.Fatalf("seed %d: %v, attached to %d: %+v", seed, a.Err, c.attachedTo(id), c.attachment(id))
		}
		c.check()
	}
}

func TestUpkeepThatDoesNotEndInOrderIsEndedByForce(t *testing.T) {
	c, id := db(t, 1)
	c.nodes[2].idle, c.nodes[2].stuck = true, true
	c.nodes[2].ask(take("monday"))
	c.run()
	asked := c.nodes[0].ask(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	c.run()
	c.pass(35e8)
	if a := c.nodes[0].answer(asked); a.Err != nil || c.attachedTo(id) != 0 {
		t.Fatalf("%v, attached to %d", a.Err, c.attachedTo(id))
	}
}

func TestRestoreIsOnlyForAVolumeThatNobodyUses(t *testing.T) {
	c, id := attached(t, 1)
	c.used(id, "web")
	c.nodes[0].must(take("monday"))
	a := c.nodes[1].do(restore("monday"))
	want(t, a, volume.ErrAttached)
	if !strings.Contains(a.Err.Error(), "container web") {
		t.Errorf("it does not say who uses it: %v", a.Err)
	}
	c.used(id) // it lingers
	c.nodes[1].must(restore("monday"))
	list := c.snapshots(id)
	kept := list.Named("before-monday")
	if kept == nil || kept.State != volume.SnapshotReady || kept.Restores != list.Named("monday").Layer || c.attachedTo(id) != -1 {
		t.Fatalf("%+v, attached to %d", list, c.attachedTo(id))
	}
	want(t, c.nodes[1].do(restore("tuesday")), volume.ErrSnapshotNotFound)
	want(t, c.nodes[1].do(restore("monday")), volume.ErrNameTaken)
	c.check()
}

func TestNobodyAttachesAVolumeThatIsBeingRestored(t *testing.T) {
	for seed := range uint64(100) {
		c, id := db(t, seed)
		c.nodes[0].must(take("monday"))
		r := c.nodes[1].ask(restore("monday"))
		x := c.nodes[seed%3].ask(volume.Command{Kind: volume.AttachVolume, Name: "db", Force: seed%2 == 0})
		for range 100_000 {
			all := c.choices()
			if len(all) == 0 && !c.reissue() {
				break
			}
			if len(all) > 0 {
				all[c.random.IntN(len(all))]()
			}
			if a := c.attachment(id); a != nil && !a.Upkeep && c.snapshots(id).Restoring() != nil {
				t.Fatalf("seed %d: attached to %d while it is being restored", seed, c.attachedTo(id))
			}
		}
		c.pass(5e9)
		restored, got := c.nodes[1].answer(r), c.nodes[seed%3].answer(x)
		if restored.Err == nil && !strings.Contains(c.list(id), "before-monday ready") || restored.Err != nil && got.Err != nil {
			t.Fatalf("seed %d: restored: %v, attached: %v: %s", seed, restored.Err, got.Err, c.list(id))
		}
		c.check()
	}
}

func TestRestoreToBeforeTheFileSystemLooksForOneAgain(t *testing.T) {
	c, id := db(t, 1)
	c.nodes[0].must(take("blank"))
	c.nodes[0].must(volume.Command{Kind: volume.MarkFormatted, Name: "db"})
	c.nodes[0].must(take("made"))
	c.nodes[0].must(restore("made"))
	if s, _ := c.nodes[0].o.Volume("db"); !s.Spec.Formatted {
		t.Error("it had a file system then")
	}
	c.nodes[0].must(restore("blank"))
	if s, _ := c.nodes[0].o.Volume("db"); s.Spec.Formatted || c.list(id) == "" {
		t.Error("it had no file system then")
	}
}

func TestCloneIsOnTheDisksOfItsOrigin(t *testing.T) {
	c, id := db(t, 1)
	c.nodes[0].must(volume.Command{Kind: volume.MarkFormatted, Name: "db"})
	c.nodes[0].must(take("monday"))
	a := c.nodes[2].create("name=copy,parent=db@monday")
	config, origin := c.config(a.Volume), c.config(id)
	snapshot := c.snapshots(id).Named("monday")
	if config.Origin == nil || *config.Origin != (volume.Origin{Volume: id, Layer: snapshot.Layer}) || config.Blocks != origin.Blocks || len(snapshot.Cloning) != 1 {
		t.Fatalf("%+v of %+v", config, snapshot)
	}
	on := func(c *volume.Config) (disks []string) {
		for _, m := range c.Members {
			disks = append(disks, m.Disk.String())
		}
		slices.Sort(disks)
		return disks
	}
	if !slices.Equal(on(config), on(origin)) {
		t.Errorf("copies on %v, those of the origin on %v", on(config), on(origin))
	}
	s, _ := c.nodes[1].o.Volume("copy")
	if s.Spec.Replicas != 2 || !s.Spec.Formatted || s.Spec.Parent != "db@monday" {
		t.Errorf("%+v", s.Spec)
	}
	if again := c.nodes[0].create("name=copy,parent=db@monday"); again.Volume != a.Volume {
		t.Error("another one was made")
	}
	for options, kind := range map[string]error{
		"name=copy,parent=db@tuesday":           volume.ErrNameTaken,
		"name=x,parent=db@tuesday":              volume.ErrSnapshotNotFound,
		"name=x,parent=none@monday":             volume.ErrVolumeNotFound,
		"name=x,parent=db@monday,size=512MiB":   volume.ErrInvalidSize,
		"name=x,parent=db@monday,fs=xfs":        volume.ErrInvalidOption,
		"name=x,parent=db@monday,replicas=3":    volume.ErrNoPlacement,
		"name=x,parent=db@monday,zones=nowhere": volume.ErrNoPlacement,
	} {
		want(t, c.nodes[0].do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec(options)}), kind)
	}
	c.check()
}

func TestWhatIsBeingClonedStays(t *testing.T) {
	c, id := db(t, 1)
	c.nodes[0].must(take("monday"))
	for _, m := range c.nodes {
		m.idle = true
	}
	c.nodes[2].create("name=copy,parent=db@monday")
	a := c.nodes[1].do(drop("monday"))
	want(t, a, volume.ErrBeingCloned)
	if !strings.Contains(a.Err.Error(), `"copy"`) {
		t.Error(a.Err)
	}
	rm := volume.Command{Kind: volume.DeleteVolume, Name: "db", Snapshots: true}
	want(t, c.nodes[1].do(rm), volume.ErrBeingCloned)
	for _, m := range c.nodes {
		m.idle = false
	}
	c.pass(8e9) // somebody makes it independent
	c.nodes[1].must(drop("monday"))
	c.nodes[1].must(rm)
	if c.snapshots(id) != nil {
		t.Error("the list of a deleted volume is left")
	}
	c.check()
}

func TestSnapshotIsDeletedOrClonedAndNotBoth(t *testing.T) {
	for seed := range uint64(100) {
		c, id := db(t, seed)
		c.nodes[0].must(take("monday"))
		for _, m := range c.nodes {
			m.idle = true
		}
		x := c.nodes[0].ask(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("name=copy,parent=db@monday")})
		if seed%2 == 0 {
			c.nodes[1].ask(drop("monday"))
		} else {
			c.nodes[1].ask(volume.Command{Kind: volume.DeleteVolume, Name: "db", Snapshots: true})
		}
		c.run()
		cloned := c.nodes[0].answer(x).Err == nil
		config := c.config(id)
		s := (*volume.Snapshot)(nil)
		if l := c.snapshots(id); l != nil {
			s = l.Named("monday")
		}
		if there := config != nil && !config.Tombstone && s != nil && s.State == volume.SnapshotReady; cloned != there {
			t.Fatalf("seed %d: cloned: %v, snapshot there: %v", seed, cloned, there)
		}
	}
}

func TestVolumeWithSnapshotsIsDeletedOnlyWithThem(t *testing.T) {
	c, _ := db(t, 1)
	c.nodes[0].must(take("monday"))
	a := c.nodes[1].do(volume.Command{Kind: volume.DeleteVolume, Name: "db"})
	want(t, a, volume.ErrHasSnapshots)
	if !strings.Contains(a.Err.Error(), "1 snapshot") || !strings.Contains(a.Err.Error(), "lagan volume rm db --snapshots") {
		t.Error(a.Err)
	}
	c.nodes[1].must(volume.Command{Kind: volume.DeleteVolume, Name: "db", Snapshots: true})
	c.check()
}

func TestDeletionTakesAVolumeFromItsUpkeep(t *testing.T) {
	for seed := range uint64(30) {
		c, _ := db(t, seed)
		c.nodes[1].idle = true
		c.nodes[1].ask(take("monday"))
		c.run()
		if seed%3 == 0 {
			c.kill(c.nodes[1])
		}
		m := c.nodes[2*(seed%2)]
		id := m.ask(volume.Command{Kind: volume.DeleteVolume, Name: "db", Snapshots: true})
		c.run()
		c.pass(2e9)
		if a := m.answer(id); a.Err != nil {
			t.Fatalf("seed %d: %v", seed, a.Err)
		}
	}
}

func TestSessionHearsOfSnapshotsOnce(t *testing.T) {
	c, id := attached(t, 1)
	c.nodes[1].must(take("monday"))
	c.pass(5e9)
	last := int64(0)
	for _, sent := range c.nodes[0].sent {
		if sent.Kind != step.SnapshotsChanged {
			continue
		}
		if sent.Volume != id || sent.Revision <= last || sent.Snapshots == nil {
			t.Errorf("%+v after revision %d", sent, last)
		}
		last = sent.Revision
	}
	if last != int64(c.items[volume.SnapshotsKey(id)].Revision) {
		t.Errorf("the newest it heard of is of revision %d", last)
	}
}

func TestFileSystemIsFrozenBeforeTheSessionHears(t *testing.T) {
	c, id := attached(t, 1)
	c.used(id, "web")
	frozen := take("monday")
	frozen.Freeze = true
	c.nodes[1].must(frozen)
	var told []step.ControlKind
	for _, sent := range c.nodes[0].sent {
		switch sent.Kind {
		case step.FreezeVolume, step.ThawVolume, step.SnapshotsChanged:
			told = append(told, sent.Kind)
		default:
		}
	}
	if want := []step.ControlKind{step.FreezeVolume, step.SnapshotsChanged, step.ThawVolume, step.SnapshotsChanged}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	c.nodes[0].keeps = true // its body does not answer
	frozen.Snapshot = "tuesday"
	late := c.nodes[1].ask(frozen)
	c.run()
	if c.list(id) != "monday ready, tuesday creating" {
		t.Error("nobody waited for the file system")
	}
	c.pass(4e9)
	if a := c.nodes[1].answer(late); a.Err != nil || c.list(id) != "monday ready, tuesday ready" {
		t.Errorf("%v: %s", a.Err, c.list(id))
	}
	plain := take("wednesday")
	before := len(c.nodes[0].sent)
	c.nodes[1].must(plain)
	if slices.ContainsFunc(c.nodes[0].sent[before:], func(s step.Control) bool { return s.Kind == step.FreezeVolume }) {
		t.Error("it was frozen though nobody asked for it")
	}
}

// follow carries out what the schedules ask of every node at a time.
func (c *cluster) follow(at time.Time) {
	c.t.Helper()
	for _, m := range c.nodes {
		if m.deaf {
			continue
		}
		for _, command := range m.o.Chores(at) {
			m.must(command)
		}
	}
}

func TestScheduleTakesAndKeepsWhatItSays(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	spec := c.spec("name=db,size=1GiB,replicas=2,snapshot_schedule=every=60m/3+daily=12:00/2")
	spec.Created = "2026-01-02T09:30:00Z"
	id := c.nodes[0].must(volume.Command{Kind: volume.CreateVolume, Spec: spec}).Volume
	at := func(text string) time.Time {
		t.Helper()
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	c.follow(at("2026-01-02T09:59:00Z"))
	if got := c.list(id); got != "" {
		t.Errorf("before its first time: %s", got)
	}
	c.follow(at("2026-01-02T10:00:10Z"))
	c.follow(at("2026-01-02T10:00:20Z"))
	c.nodes[0].must(take("mine"))
	c.nodes[0].must(drop("every-1h-20260102T100000Z"))
	c.follow(at("2026-01-02T10:30:00Z"))
	if got := c.list(id); got != "mine ready" {
		t.Errorf("one that was deleted is taken again: %s", got)
	}
	c.follow(at("2026-01-02T15:20:00Z")) // hours were missed
	const late = "mine ready, daily-20260102T120000Z ready, every-1h-20260102T150000Z ready"
	if got := c.list(id); got != late {
		t.Errorf("%s, want %s", got, late)
	}
	for hour := 16; hour < 20; hour++ {
		c.follow(at(fmt.Sprintf("2026-01-02T%d:00:01Z", hour)))
		c.follow(at(fmt.Sprintf("2026-01-02T%d:01:00Z", hour)))
	}
	const kept = "mine ready, daily-20260102T120000Z ready, every-1h-20260102T170000Z ready, every-1h-20260102T180000Z ready, every-1h-20260102T190000Z ready"
	if got := c.list(id); got != kept {
		t.Errorf("%s, want %s", got, kept)
	}
	c.nodes[1].must(volume.Command{Kind: volume.SetVolume, Name: "db", Spec: c.spec("snapshot_schedule=none"), Time: noon})
	c.follow(at("2026-01-03T15:20:00Z"))
	if got := c.list(id); got != kept {
		t.Errorf("without a schedule: %s", got)
	}
	c.check()
}

func TestScheduleIsFollowedByTheNodeThatHasTheVolume(t *testing.T) {
	c := newCluster(t, 1, 20*gib, 20*gib)
	c.nodes[0].create("name=db,size=1GiB,snapshot_schedule=every=1h/3")
	c.nodes[0].create("name=other,size=1GiB,snapshot_schedule=every=1h/3")
	c.nodes[1].must(volume.Command{Kind: volume.AttachVolume, Name: "db"})
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	if a, b := c.nodes[0].o.Chores(now), c.nodes[1].o.Chores(now); len(a) != 1 || len(b) != 1 || a[0].Name == b[0].Name {
		t.Errorf("%+v and %+v", a, b)
	}
	c.kill(c.nodes[1])
	c.run()
	if a := c.nodes[0].o.Chores(now); len(a) != 1 {
		t.Errorf("a volume that somebody else may still serve: %+v", a)
	}
}
