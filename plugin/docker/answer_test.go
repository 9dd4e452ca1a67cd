package docker

import (
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
)

func TestGetErrNeverTransientForLostQuorum(t *testing.T) {
	in(t, func(w *world) {
		w.ok("Create", "db", "")
		w.ok("List", "", "")
		check := func(when string) {
			t.Helper()
			if v := w.ok("Get", "db", "").Volume; v == nil || v.Name != "db" {
				t.Errorf("%s: get says %+v", when, v)
			}
			if list := w.ok("List", "", "").Volumes; len(list) != 1 || list[0].Name != "db" {
				t.Errorf("%s: list says %+v", when, list)
			}
			w.ok("Path", "db", "")
			if scope := w.ok("Capabilities", "", "").Capabilities.Scope; scope != "global" {
				t.Errorf("%s: scope %q", when, scope)
			}
		}
		check("with a quorum")
		w.setLost(true)
		check("without")
		w.start()
		check("after a restart without")
		if status := w.ok("Get", "db", "").Volume.Status; status["health"] != "unknown" || status["reason"] != unheard {
			t.Errorf("after a restart without a quorum the status is %v", status)
		}
		if a := w.ask("Get", "other", ""); !a.hungUp {
			t.Errorf("a volume that may exist: %+v, want no answer", a)
		}
	})
}

func TestAbsenceIsSaidOnlyWhenConfirmed(t *testing.T) {
	in(t, func(w *world) {
		if a := w.ask("Get", "db", ""); !strings.Contains(a.Err, "no such volume") {
			t.Errorf("an absent volume: %+v", a)
		}
		w.ok("Create", "db", "")
		w.mu.Lock()
		delete(w.volumes, "db") // another node deletes it
		w.mu.Unlock()
		if a := w.ask("Get", "db", ""); !strings.Contains(a.Err, "no such volume") {
			t.Errorf("a deleted volume: %+v", a)
		}
		w.ok("List", "", "")
		w.setLost(true)
		if a := w.ask("Get", "db", ""); !a.hungUp {
			t.Errorf("without a quorum: %+v, want no answer", a)
		}
	})
}

func TestUnreadableVolumeIsStillThere(t *testing.T) {
	in(t, func(w *world) {
		w.ok("Create", "db", "")
		w.mu.Lock()
		r := w.volumes["db"]
		r.Health, r.Reason, r.Spec = volume.Unreadable, "torn", volume.Spec{}
		w.volumes["db"] = r
		w.mu.Unlock()
		v := w.ok("Get", "db", "").Volume
		if v.Name != "db" || v.Status["health"] != "unreadable" {
			t.Errorf("get says %+v", v)
		}
		if list := w.ok("List", "", "").Volumes; len(list) != 1 || list[0].Name != "db" {
			t.Errorf("list says %+v", list)
		}
	})
}

func TestColdPluginHangsUpInsteadOfAnswering(t *testing.T) {
	in(t, func(w *world) {
		w.setLost(true)
		for _, what := range []string{"Get", "List"} {
			if a := w.ask(what, "db", ""); !a.hungUp {
				t.Errorf("%s: %+v, want no answer", what, a)
			}
		}
	})
}

func TestActivateWithoutQuorumIsAnswered(t *testing.T) {
	in(t, func(w *world) {
		w.setLost(true)
		if a := w.call("Activate", ""); len(a.Implements) != 1 || a.Implements[0] != "VolumeDriver" {
			t.Errorf("activate: %+v", a)
		}
	})
}

func TestEmptyBodyRetryChangesAndDeniesNothing(t *testing.T) {
	in(t, func(w *world) {
		w.ok("Create", "db", "")
		w.did("create name=db")
		for _, body := range []string{"", "{}", `{"Name":""}`, "not JSON"} {
			for _, what := range []string{"Get", "Path"} {
				// What came whole is no repetition: no volume is without a name.
				whole := strings.HasPrefix(body, "{")
				if a := w.call(what, body); a.hungUp == whole || whole && !strings.Contains(a.Err, "no such volume") {
					t.Errorf("%s with %q: %+v, want no answer, or an error if it came whole", what, body, a)
				}
			}
			for _, what := range []string{"Create", "Remove", "Mount", "Unmount"} {
				if a := w.call(what, body); a.Err == "" {
					t.Errorf("%s with %q: %+v, want an error", what, body, a)
				}
			}
		}
		if a := w.ask("Mount", "db", ""); a.Err == "" {
			t.Error("a mount for nobody was done")
		}
		w.did()
	})
}

func TestCreatedAtRFC3339IsAllThatIsSaid(t *testing.T) {
	for text, want := range map[string]string{
		"2026-01-02T03:04:05Z": "2026-01-02T03:04:05Z", "2026-01-02T03:04:05+02:00": "2026-01-02T01:04:05Z",
		"": "1970-01-01T00:00:00Z", "yesterday": "1970-01-01T00:00:00Z",
	} {
		got := createdAt(text)
		if _, err := time.Parse(time.RFC3339, got); err != nil || got != want {
			t.Errorf("%q became %q (%v), want %q", text, got, err, want)
		}
	}
}

func TestStatusShowsWhatWasAskedForAndWhatIs(t *testing.T) {
	in(t, func(w *world) {
		if a := w.call("Create", `{"Name":"db","Opts":{"size":"1G","replicas":"2"}}`); a.Err != "" {
			t.Fatal(a.Err)
		}
		w.ok("Mount", "db", "one")
		v := w.ok("Get", "db", "").Volume
		spec, _ := v.Status["spec"].(map[string]any)
		if spec["size"] != "1GiB" || spec["replicas"] != "2" || spec["fs"] != "ext4" {
			t.Errorf("spec %v", spec)
		}
		replicas, _ := v.Status["replicas"].([]any)
		if len(replicas) != 2 || v.Status["node"] != "a" || v.Status["epoch"] != 1.0 || v.Status["health"] != "healthy" {
			t.Errorf("status %v", v.Status)
		}
		if want := w.plugin.contentOf("db"); v.Mountpoint != want || w.ok("Path", "db", "").Mountpoint != want {
			t.Errorf("mounted at %q, want %q", v.Mountpoint, want)
		}
	})
}
