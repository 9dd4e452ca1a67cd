package docker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestClusterIsToldWhichContainersUseAVolume(t *testing.T) {
	in(t, func(w *world) {
		w.mounted("db", "one")
		w.usedBy("db", "one=") // it does not run yet
		w.runs("web", "db")
		w.pass(time.Second)
		w.usedBy("db", "one=web")
		w.ok("Mount", "db", "two")
		w.usedBy("db", "one=web", "two=")
		w.runs("job", "db")
		w.pass(time.Second)
		w.usedBy("db", "one=web", "two=job")
		w.ends("web")
		w.ok("Unmount", "db", "one")
		w.usedBy("db", "two=job")
		w.ok("Unmount", "db", "two")
		w.usedBy("db")
		w.ok("Mount", "db", "three") // that lingered
		w.usedBy("db", "three=")
	})
}

// Of two that start at once nobody knows which ID is whose, until one is gone.
func TestContainerThatEndsIsNotNamedAnyMore(t *testing.T) {
	in(t, func(w *world) {
		w.mounted("db", "one")
		w.ok("Mount", "db", "two")
		w.runs("job", "db")
		w.runs("web", "db")
		w.pass(time.Second)
		w.usedBy("db", "one=job", "two=web")
		w.ends("job")
		w.ok("Unmount", "db", "two") // it was the other way round
		w.pass(time.Second)
		w.usedBy("db", "one=web")
	})
}

func TestUnknownContainersAreNotGuessed(t *testing.T) {
	in(t, func(w *world) {
		w.runs("web", "db")
		w.runs("job", "db")
		w.runs("other", "elsewhere")
		w.mounted("db", "one")
		w.pass(10 * time.Minute)
		w.usedBy("db", "one=")
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.asked == 0 || w.asked > 10 {
			t.Errorf("the engine was asked %d times", w.asked)
		}
	})
}

func TestContainerWithAVolumeInTwoPlacesIsNamedForBoth(t *testing.T) {
	in(t, func(w *world) {
		w.mounted("db", "one")
		w.ok("Mount", "db", "two")
		w.runs("web", "db")
		w.pass(time.Second)
		w.usedBy("db", "one=web", "two=web")
	})
}

func TestEngineThatHangsDelaysNoMount(t *testing.T) {
	in(t, func(w *world) {
		w.plugin.p.Containers = func(ctx context.Context, _ []string) ([]Container, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		w.ok("Create", "db", "")
		w.ok("Create", "log", "")
		began := time.Now()
		w.ok("Mount", "db", "one")
		w.pass(time.Second)
		w.ok("Mount", "log", "two")
		w.ok("Unmount", "db", "one")
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		w.pass(10 * time.Minute)
		w.usedBy("log", "two=")
		w.ok("Mount", "log", "three")
		w.pass(time.Second)
		began = time.Now()
		if err := w.plugin.Close(w.t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("the end waited for the engine for %v: %v", time.Since(began), err)
		}
		w.start()
	})
}

// The daemon's mounts end with it. A container that the engine starts again
// mounts with the ID that it had.
func TestContainerIsKnownAtOnceAfterARestart(t *testing.T) {
	in(t, func(w *world) {
		w.ok("List", "", "")
		w.mounted("db", "one")
		w.ok("Mount", "db", "two")
		w.runs("web", "db")
		w.runs("job", "db")
		w.pass(time.Second)
		w.usedBy("db", "one=web", "two=job")
		if err := w.plugin.Close(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		w.change(func(c *cluster) {
			r := c.volumes["db"]
			r.Attached, r.Users, r.Lingers = "", nil, false
			c.volumes["db"] = r
		})
		w.ends("web") // the other one runs on, on what its mount was
		w.start()
		w.ok("Mount", "db", "one")
		w.usedBy("db", "one=web")
		w.pass(time.Minute)
		w.usedBy("db", "one=web")
		w.ok("Mount", "db", "two")
		w.usedBy("db", "one=web", "two=job")
	})
}

func TestContainerThatWasMadeAnewAfterARestartIsFound(t *testing.T) {
	in(t, func(w *world) {
		w.ok("List", "", "")
		w.mounted("db", "one")
		w.runs("web", "db")
		w.pass(time.Second)
		if err := w.plugin.Close(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		w.start()
		w.ends("web")
		w.pass(time.Second)
		w.runs("web", "db")
		w.ok("Mount", "db", "another")
		w.pass(time.Second)
		w.usedBy("db", "another=web")
	})
}

func TestWantedVolumeIsDetachedAtOnceUnlessAContainerHasIt(t *testing.T) {
	in(t, func(w *world) {
		w.mounted("db", "one")
		w.plugin.Wanted(w.t.Context(), "db")
		w.did()
		w.ok("Unmount", "db", "one")
		w.did()
		w.plugin.Wanted(w.t.Context(), "db")
		w.did("detach db")
		w.pass(2 * LingerDefault)
		w.did()
		w.plugin.Wanted(w.t.Context(), "never")
		w.did()
	})
}

func TestWantedVolumeThatCannotBeDetachedLingersOn(t *testing.T) {
	in(t, func(w *world) {
		w.mounted("db", "one")
		w.ok("Unmount", "db", "one")
		w.change(func(c *cluster) { c.failures = 1 })
		w.plugin.Wanted(w.t.Context(), "db")
		w.did()
		w.pass(LingerDefault)
		w.did("detach db")
	})
}

func TestEngineIsAskedForContainers(t *testing.T) {
	dir, err := os.MkdirTemp("", "lagan-") //nolint:usetesting // the path of a socket has 107 bytes at most, and t.TempDir repeats the test's name
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	listener, err := net.Listen("unix", filepath.Join(dir, "engine"))
	if err != nil {
		t.Fatal(err)
	}
	answers := []string{
		`[{"Names":["/web/alias","/web"],"Created":9,"Mounts":[{"Type":"bind","Source":"/x"},{"Type":"volume","Name":"db"}]},{"Names":["/job"],"Created":5,"Mounts":[{"Name":"log"}]}]`,
		`{"message":"no"}`,
	}
	asked := ""
	engine := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + " " + r.URL.Query().Get("filters")
		_, _ = fmt.Fprint(w, answers[0])
		answers = answers[1:]
	})}
	served := make(chan struct{})
	go func() { _ = engine.Serve(listener); close(served) }()
	ask := Containers(filepath.Join(dir, "engine"))
	got, err := ask(t.Context(), []string{"db", "log"})
	want := []Container{{Name: "job", Created: 5, Volumes: []string{"log"}}, {Name: "web", Created: 9, Volumes: []string{"", "db"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ask(t.Context(), []string{"db"}); err == nil {
		t.Error("an answer of another form is no error")
	}
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
	<-served
	if asked != `/containers/json {"volume":["db"]}` {
		t.Errorf("asked %s", asked)
	}
}
