package main

import (
	"context"
	"errors"
)

// The daemon is killed under a container, replaced by another program and stopped in
// order: the container goes on, and when it ends so does its mount.
func (e *engines) daemonEndsUnderAContainer() {
	const name = "lasting"
	n := e.c.Node("a")
	e.create("a", name)
	e.hold("a", name)
	e.docker("a", "exec", name, "sh", "-c", "echo kept > /data/note && sync -f /data")
	e.Cleanup(func() {
		if e.Failed() {
			e.Logf("the daemon says:\n%s", n.Tail())
		}
	})
	began := e.docker("a", "inspect", "--format", "{{.State.Pid}}", name)
	restart := func(end func(context.Context) error) {
		e.Helper()
		if err := errors.Join(end(e.Context()), n.Start(e.Context())); err != nil {
			e.Fatal(err)
		}
		e.docker("a", "exec", name, "sh", "-c", "cat /data/note > /data/copy && sync -f /data") // waits for the daemon
		until(e.T, e.c, "the volume is used as before", func() (bool, error) {
			v, err := n.Client().Volume(e.Context(), name)
			return err == nil && v.Status.Attachment != nil && len(v.Status.Attachment.Mounts) > 0, err
		})
	}
	restart(n.KillDaemon)
	n.SetBinary(upgraded(e.T))
	restart(n.KillDaemon)
	restart(n.Stop)
	n.SetBinary("")
	if pid := e.docker("a", "inspect", "--format", "{{.State.Pid}}", name); pid != began {
		e.Errorf("the container is process %s, was %s", pid, began)
	}
	e.wantNote("a", name, "kept")
	e.wantStatus(name, "a")
	e.docker("a", "rm", "--force", name)
	e.detached(name)
	e.docker("a", "volume", "rm", name)
}
