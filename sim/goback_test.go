package sim

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/kv"
)

func (c *cluster) goBack(backup *kv.Store, marked bool) *cluster {
	return c.sound(func() { c.w.goBack(backup, marked) })
}

// staysClosed insists that the volume is served nowhere for a while, whoever asks for it.
func (c *cluster) staysClosed(node int, d time.Duration) *cluster {
	c.t.Helper()
	for until := c.w.now + int64(d); c.w.now < until; c.run(500 * time.Millisecond) {
		c.seize(node)
		for i := range c.w.bodies {
			if c.serves(i) {
				c.t.Fatalf("node %d serves it: %s", i, configText(c.v.config))
			}
		}
	}
	return c
}

// regressed insists that an attachment is refused and that it is said why.
func (c *cluster) regressed(node int) *cluster {
	c.t.Helper()
	c.within(20*time.Second, "the configuration is known to be old", func() bool { return c.v.config.Regressed() }).run(time.Second)
	err := c.answers(c.command(node, volume.Command{Kind: volume.AttachVolume, Name: c.v.name, Force: true}))[0]
	if !errors.Is(err, volume.ErrConfigRegressed) || !strings.Contains(err.Error(), "knows of configuration") {
		c.t.Fatalf("answered %v", err)
	}
	return c
}

// believe has a person say that the copy on a node is the volume.
func (c *cluster) believe(asked, copyOn int) *cluster {
	c.t.Helper()
	return c.insist(asked, volume.Command{Kind: volume.RecoverVolume, Name: c.v.name, Node: c.w.bodies[copyOn].id})
}

func TestRestoredVolumeOfWhichNobodyKnowsNewerIsServed(t *testing.T) {
	for _, marked := range []bool{true, false} {
		c := newCluster(t, 4, 0, 1).attach(2, time.Second).write(0, 32).flush().run(time.Second)
		backup := c.w.backup()
		c.write(4, 8).flush().goBack(backup, marked).run(time.Second).attach(3, 20*time.Second).read(0, 32).write(0, 4).read(0, 8)
		if r := c.v.config.Restored; r != nil {
			t.Errorf("it is served, and still said to be restored: %+v", r)
		}
		c.becomes(0, volume.InSync, 20*time.Second).becomes(1, volume.InSync, 20*time.Second).run(time.Second).flush().compare()
	}
}

// TestOldBackupNeverBringsBackACopyThatWasPutOut: what the backup lists as in sync
// lacks writes that were acknowledged since.
func TestOldBackupNeverBringsBackACopyThatWasPutOut(t *testing.T) {
	c := newCluster(t, 4, 0, 1).attach(2, time.Second).write(0, 32).flush().run(time.Second)
	backup := c.w.backup()
	c.isolate(1, 8*time.Second).becomes(1, volume.Out, 5*time.Second).write(0, 16).flush()
	c.kill(2).kill(0).run(10*time.Second).goBack(backup, true).run(time.Second)
	c.staysClosed(3, 10*time.Second).up(0).seize(3).regressed(3).staysClosed(3, 5*time.Second)
	c.believe(3, 0).attach(3, 20*time.Second).read(0, 32).write(0, 4).becomes(1, volume.InSync, 30*time.Second).run(time.Second).flush().compare()
}

// TestOldBackupNeverUndoesATakeover, in which the promise of the copy that is left
// is all that tells of it.
func TestOldBackupNeverUndoesATakeover(t *testing.T) {
	for _, marked := range []bool{true, false} {
		c := newCluster(t, 4, 0, 1).attach(2, time.Second).write(0, 32).flush().run(time.Second)
		backup := c.w.backup()
		c.isolate(1, 8*time.Second).attach(3, 20*time.Second).write(0, 16).flush()
		c.kill(2).kill(3).kill(0).kill(1).run(10*time.Second).goBack(backup, marked)
		c.up(0).up(1).up(2).up(3).run(time.Second).seize(3).regressed(3).staysClosed(2, 5*time.Second)
		c.believe(2, 0).attach(3, 20*time.Second).read(0, 32).write(0, 4).becomes(1, volume.InSync, 30*time.Second).run(time.Second).flush().compare()
	}
}

// TestKnowledgeOfALostConfigurationOutlastsSessions: each session that tries raises
// what the copies promise, and what they knew before is still known.
func TestKnowledgeOfALostConfigurationOutlastsSessions(t *testing.T) {
	c := newCluster(t, 4, 0, 1).attach(2, time.Second).write(0, 32).flush().run(time.Second)
	backup := c.w.backup()
	c.isolate(1, 8*time.Second).attach(3, 20*time.Second).write(0, 16).flush()
	c.kill(1).kill(3).run(10*time.Second).goBack(backup, true)
	for range 4 { // one copy is away: nobody can say that it knows of nothing newer
		c.staysClosed(2, 2*time.Second).kill(2).up(2).kill(0).up(0).run(time.Second)
	}
	c.up(1).seize(2).regressed(2).believe(2, 0).attach(2, 20*time.Second).read(0, 32)
}

// TestVolumeThatWasNeverWrittenInTheBackupIsNotMadeAnew: its copies were moved
// since, and those that the backup lists are gone.
func TestVolumeThatWasNeverWrittenInTheBackupIsNotMadeAnew(t *testing.T) {
	c := newCluster(t, 4, 0).run(time.Second)
	backup := c.w.backup()
	c.attach(2, time.Second).write(0, 32).flush().move(2, 0, 1).copies(20*time.Second, 1)
	c.within(20*time.Second, "the former copy is freed", func() bool { return !c.stores(0) })
	c.goBack(backup, true).run(time.Second).seize(3).staysClosed(3, 10*time.Second)
	if !c.stores(1) {
		t.Error("the copy that has everything was freed")
	}
}

// stores reports whether a node has a copy, listed or not.
func (c *cluster) stores(n int) bool {
	for _, s := range c.w.bodies[n].disks {
		if disk, ours := s.machine.(*node.Disk); ours && len(disk.Store().Replicas(nil)) > 0 {
			return true
		}
	}
	return false
}

// TestCopiesThatABackupDoesNotKnowAreAskedToo: all that the backup lists were replaced
// while they were away, and know of nothing.
func TestCopiesThatABackupDoesNotKnowAreAskedToo(t *testing.T) {
	c := newCluster(t, 5, 0, 1).attach(4, time.Second).write(0, 32).flush().run(time.Second)
	backup := c.w.backup()
	c.kill(1).becomes(1, volume.Out, 5*time.Second).move(4, 1, 3).copies(20*time.Second, 0, 3)
	c.kill(0).run(5*time.Second).move(4, 0, 2).copies(20*time.Second, 2, 3).write(0, 16).flush()
	c.kill(2).kill(3).kill(4).run(10*time.Second).goBack(backup, true).up(0).up(1).up(2).up(3).up(4).run(2 * time.Second)
	c.seize(4).staysClosed(4, 10*time.Second).regressed(4)
	if !c.stores(2) || !c.stores(3) {
		t.Error("a copy that has everything was freed")
	}
}

// TestVolumeWhoseStoreWentBackUnderItStops: the session that serves learns from a copy
// that came back that it serves an older life of the volume.
func TestVolumeWhoseStoreWentBackUnderItStops(t *testing.T) {
	c := newCluster(t, 4, 0, 1).attach(2, time.Second).write(0, 32).flush().run(time.Second)
	backup := c.w.backup()
	c.kill(1).attach(3, 20*time.Second).attach(2, 20*time.Second).attach(3, 20*time.Second)
	c.kill(0).kill(2).kill(3).run(10 * time.Second)
	c.goBack(backup, false).up(1).up(2).up(3).run(time.Second)
	c.attach(2, 20*time.Second) // nothing that is heard from knows better
	c.up(0).regressed(3).staysClosed(3, 5*time.Second)
}
