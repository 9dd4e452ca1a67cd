package docker

import (
	"os"
	"strings"
	"testing"
	"time"
)

// mounted makes a volume that a container has.
func (w *world) mounted(name, id string) {
	w.t.Helper()
	w.ok("Create", name, "")
	w.ok("Mount", name, id)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = nil
}

func TestMountGivesADirectoryThatIsThere(t *testing.T) {
	in(t, func(w *world) {
		w.ok("Create", "db", "")
		at := w.ok("Mount", "db", "one").Mountpoint
		if info, err := os.Stat(at); err != nil || !info.IsDir() || !strings.HasPrefix(at, w.dir) {
			t.Errorf("mounted at %q: %v", at, err)
		}
	})
}

func TestMountLingersAfterItsLastUser(t *testing.T) {
	in(t, func(w *world) {
		w.mounted("db", "one")
		w.ok("Unmount", "db", "one")
		w.pass(LingerDefault - time.Second)
		w.did()
		w.ok("Mount", "db", "two") // uses what lingers
		w.pass(2 * LingerDefault)
		w.did()
		w.ok("Unmount", "db", "two")
		w.pass(LingerDefault)
		w.did("detach db")
		if at := w.ok("Path", "db", "").Mountpoint; at != "" {
			t.Errorf("after that it is mounted at %q", at)
		}
		w.ok("Mount", "db", "three")
		w.did("attach db force=false")
	})
}

func TestTwoContainersShareAMount(t *testing.T) {
	in(t, func(w *world) {
		w.mounted("db", "one")
		w.ok("Mount", "db", "two")
		w.ok("Unmount", "db", "one")
		w.pass(2 * LingerDefault)
		w.did()
		w.ok("Unmount", "db", "two")
		w.pass(LingerDefault)
		w.did("detach db")
	})
}

// docker cp into a running container mounts and unmounts with its ID.
func TestSameIDNestedMountKeepsTheMount(t *testing.T) {
	in(t, func(w *world) {
		w.mounted("db", "one")
		w.ok("Mount", "db", "one")
		w.ok("Unmount", "db", "one")
		w.pass(2 * LingerDefault)
		w.did()
		w.ok("Unmount", "db", "one")
		w.pass(LingerDefault)
		w.did("detach db")
	})
}

// An engine that was killed unmounts nothing, and mounts again with the same ID.
func TestSameIDRemountAfterEngineKillIsCountedOnce(t *testing.T) {
	in(t, func(w *world) {
		w.call("Activate", "")
		w.mounted("db", "one")
		w.ok("Mount", "db", "one") // a copy was under way
		w.call("Activate", "")
		w.ok("Mount", "db", "one")
		w.ok("Unmount", "db", "one")
		w.pass(LingerDefault)
		w.did("detach db")
	})
}

// With live-restore the engine mounts nothing after its restart and unmounts
// once, whatever was counted before.
func TestLiveRestoreUnmountWithoutMountDetaches(t *testing.T) {
	in(t, func(w *world) {
		w.held.Store(true)
		w.mounted("db", "one")
		w.ok("Mount", "db", "one")
		w.call("Activate", "")
		w.pass(5 * LingerDefault)
		w.did()
		w.ok("Unmount", "db", "one")
		w.pass(LingerDefault)
		w.did("detach db")
	})
}

func TestMountWhoseContainersDiedWithTheEngineEnds(t *testing.T) {
	in(t, func(w *world) {
		w.mounted("db", "one")
		w.held.Store(true)
		w.call("Activate", "")
		w.pass(3 * LingerDefault)
		w.did()
		w.held.Store(false)
		w.pass(3 * LingerDefault)
		w.did("detach db")
	})
}

func TestLateMountRollbackDetaches(t *testing.T) {
	in(t, func(w *world) {
		w.ok("Create", "db", "")
		w.did("create name=db")
		hang := make(chan struct{})
		w.change(func(c *cluster) { c.hang = hang })
		began := time.Now()
		a := w.ask("Mount", "db", "one")
		if took := time.Since(began); took > 100*time.Second || !strings.Contains(a.Err, "not done within") {
			t.Errorf("after %v: %+v", took, a)
		}
		w.pass(3 * LingerDefault)
		w.did()
		close(hang)
		w.did("attach db force=false", "detach db")
		if at := w.ok("Path", "db", "").Mountpoint; at != "" {
			t.Errorf("it is mounted at %q", at)
		}
	})
}

func TestMountThatFailsHoldsNothing(t *testing.T) {
	in(t, func(w *world) {
		if a := w.ask("Mount", "db", "one"); a.Err == "" {
			t.Error("a volume that is not there was mounted")
		}
		w.ok("Create", "db", "")
		w.ok("Remove", "db", "")
		w.did("create name=db", "delete db")
	})
}

func TestDetachThatFailsIsTriedAgain(t *testing.T) {
	in(t, func(w *world) {
		w.mounted("db", "one")
		w.change(func(c *cluster) { c.failures = 2 })
		w.ok("Unmount", "db", "one")
		w.pass(2 * LingerDefault)
		w.did()
		w.pass(LingerDefault)
		w.did("detach db")
	})
}

func TestUnmountUnknownIDIsFine(t *testing.T) {
	in(t, func(w *world) {
		w.ok("Unmount", "db", "one")
		w.mounted("db", "one")
		w.ok("Unmount", "db", "two")
		w.pass(2 * LingerDefault)
		w.did()
	})
}

func TestMountElsewhereIsRefusedUnlessItPreempts(t *testing.T) {
	in(t, func(w *world) {
		w.elsewhere("db")
		if a := w.ask("Mount", "db", "one"); !strings.Contains(a.Err, "node b") || !strings.Contains(a.Err, "--force") {
			t.Errorf("in use on b: %+v", a)
		}
		w.did()
		w.ok("Mount", "name=db,preempt=true", "one")
		w.did("attach db force=true")
		w.mu.Lock()
		r := w.volumes["db"]
		r.Attached, r.Spec.Preempt = "b", true
		w.volumes["db"] = r
		w.mu.Unlock()
		w.ok("Mount", "db", "two")
		w.did("attach db force=true")
	})
}

func TestVolumeThatLingersElsewhereIsAskedForAgain(t *testing.T) {
	for _, c := range []struct {
		busy    int
		lingers bool
		did     []string
	}{
		{0, true, []string{"take over db"}},
		{handOverTriesMax - 1, true, []string{"take over db"}},
		{handOverTriesMax, true, nil},
		{1, false, nil},
	} {
		in(t, func(w *world) {
			w.elsewhere("db")
			w.change(func(all *cluster) {
				r := all.volumes["db"]
				r.Lingers, all.busy = c.lingers, c.busy
				all.volumes["db"] = r
			})
			if a := w.ask("Mount", "db", "one"); (a.Err == "") != (c.did != nil) {
				t.Errorf("%+v: %+v", c, a)
			}
			w.did(c.did...)
		})
	}
}
