package main

import (
	"errors"
	"os"
	"strings"
)

// docker cp into a running container mounts and unmounts with its ID.
func (e *engines) sameIDNestedMount() {
	const name = "nested"
	e.create("a", name)
	e.hold("a", name)
	for range 3 {
		e.docker("a", "cp", e.c.Node("a").LogFile(), name+":/data/log")
	}
	// Past the time that it would linger: a volume that nobody has is gone then.
	e.create("a", "other")
	e.docker("a", once("other", "true")...)
	e.detached("other")
	e.docker("a", "volume", "rm", "other")
	e.wantStatus(name, "a")
	e.docker("a", "exec", name, "sh", "-c", "echo kept > /data/note && sync -f /data")
	e.wantNote("a", name, "kept")
	e.docker("a", "rm", "--force", name)
	e.detached(name) // and nothing of the copies is counted still
	e.docker("a", "volume", "rm", name)
}

// An engine that was killed says no word about what it had mounted, and mounts
// again with the same ID.
func (e *engines) sameIDRemountAfterEngineKill() {
	const name = "remount"
	m := e.c.Node("a").Machine()
	e.create("a", name)
	e.hold("a", name, "--restart", "always")
	e.docker("a", "exec", name, "sh", "-c", "echo kept > /data/note && sync -f /data")
	for range 2 {
		if err := errors.Join(m.KillEngine(e.Context()), m.StartEngine(e.Context())); err != nil {
			e.Fatal(err)
		}
		until(e.T, e.c, "the container runs again", func() (bool, error) {
			out, err := e.try("a", "exec", name, "cat", "/data/note")
			return out == "kept", err
		})
	}
	e.wantStatus(name, "a")
	e.docker("a", "rm", "--force", name)
	e.detached(name)
	e.docker("a", "volume", "rm", name)
}

// With live-restore containers outlive their engine. The next one mounts nothing
// for them, and unmounts when they end.
func (e *engines) liveRestoreUnmountWithoutMount() {
	const name = "restored"
	m := e.c.Node("b").Machine()
	if _, err := e.try("b", once("name=other,size=oops", "true")...); err == nil {
		e.Error("a container ran on an impossible volume")
	}
	restart := func(arguments ...string) {
		e.Helper()
		if err := errors.Join(m.KillEngine(e.Context()), m.StartEngine(e.Context(), arguments...)); err != nil {
			e.Fatal(err)
		}
	}
	restart("--live-restore")
	e.create("b", name)
	e.hold("b", name)
	e.docker("b", "exec", name, "sh", "-c", "echo kept > /data/note && sync -f /data")
	began := e.docker("b", "inspect", "--format", "{{.State.Pid}}", name)
	e.docker("b", "cp", e.c.Node("b").LogFile(), name+":/data/log")
	restart("--live-restore")
	if pid := e.docker("b", "inspect", "--format", "{{.State.Pid}}", name); pid != began {
		e.Errorf("the container is process %s, was %s", pid, began)
	}
	// Whoever has no container any more would be found and ended by now.
	e.create("b", "other")
	e.docker("b", once("other", "true")...)
	e.detached("other")
	e.docker("b", "volume", "rm", "other")
	e.wantNote("b", name, "kept")
	e.wantStatus(name, "b")
	e.docker("b", "rm", "--force", name)
	e.detached(name)
	e.docker("b", "volume", "rm", name)
	restart()
	// An engine repeats what gets no answer, 15 s for each thing.
	if log, err := os.ReadFile(m.EngineLog()); err != nil || strings.Contains(string(log), "Unable to connect to plugin") {
		e.Errorf("the plugin left the engine without an answer: %v\n%s", err, log)
	}
}

func (e *engines) unmountUnknownID() {
	const name = "unknown"
	e.create("a", name)
	e.hold("a", name)
	for _, body := range []string{`{"Name":"unknown","ID":"nobody"}`, `{"Name":"no-such-volume","ID":"nobody"}`} {
		if text, err := e.call("a", "VolumeDriver.Unmount", body); err != nil || strings.Contains(text, `"Err":"`) && !strings.Contains(text, `"Err":""`) {
			e.Errorf("unmount of %s: %s, %v", body, text, err)
		}
	}
	e.wantStatus(name, "a")
	e.docker("a", "exec", name, "touch", "/data/note")
	e.docker("a", "rm", "--force", name)
	e.detached(name)
	e.docker("a", "volume", "rm", name)
}

// An engine whose connection broke repeats its call without a body.
func (e *engines) emptyBodyRetry() {
	const name = "retried"
	e.create("a", name)
	e.hold("a", name)
	for _, what := range []string{"Create", "Remove", "Mount", "Unmount"} {
		if text, err := e.call("a", "VolumeDriver."+what, ""); err != nil || !strings.Contains(text, `"Err":"`) {
			e.Errorf("%s without a body: %s, %v", what, text, err)
		}
	}
	for _, what := range []string{"Get", "Path"} {
		if text, err := e.call("a", "VolumeDriver."+what, ""); err == nil {
			e.Errorf("%s without a body was answered: %s", what, text)
		}
	}
	e.wantStatus(name, "a")
	e.docker("a", "rm", "--force", name)
	e.detached(name)
	e.docker("a", "volume", "rm", name)
}
