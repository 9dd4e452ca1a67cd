package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
)

// database is a PostgreSQL server with its data on a volume. It talks on a socket
// in a directory of its own.
type database struct {
	t       *testing.T
	data    string
	socket  string
	process *exec.Cmd
}

// postgres returns one of PostgreSQL's programs; Debian keeps them out of the PATH.
func postgres(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err == nil && len(found) > 0 {
		return found[len(found)-1]
	}
	require.Program(t, name, "postgresql")
	return name
}

// asPostgres makes a command run as the user that PostgreSQL insists on: not root.
func asPostgres(t *testing.T, c *exec.Cmd) *exec.Cmd {
	t.Helper()
	uid, gid := postgresUser(t)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}, Pdeathsig: syscall.SIGKILL}
	c.Dir = "/"
	return c
}

func postgresUser(t *testing.T) (uid, gid uint32) {
	t.Helper()
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal(err)
	}
	u, uidErr := strconv.ParseUint(who.Uid, 10, 32)
	g, gidErr := strconv.ParseUint(who.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		t.Fatal(err)
	}
	return uint32(u), uint32(g)
}

// newDatabase is the one whose data is, or will be, below a mounted volume.
func newDatabase(t *testing.T, mount string) *database {
	t.Helper()
	d := &database{t: t, data: filepath.Join(mount, "pg"), socket: workDir(t)}
	uid, gid := postgresUser(t)
	if err := os.Chown(d.socket, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	for dir := mount; dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // its user is another
			t.Fatal(err)
		}
	}
	t.Cleanup(d.kill)
	return d
}

// initialise makes its files.
func (d *database) initialise() {
	d.t.Helper()
	uid, gid := postgresUser(d.t)
	if err := errors.Join(os.Mkdir(d.data, 0o700), os.Chown(d.data, int(uid), int(gid))); err != nil {
		d.t.Fatal(err)
	}
	c := asPostgres(d.t, exec.CommandContext(d.t.Context(), postgres(d.t, "initdb"), "-D", d.data, "--auth=trust", "--username=postgres", "--no-locale"))
	if out, err := c.CombinedOutput(); err != nil {
		d.t.Fatalf("initdb: %v: %s", err, out)
	}
}

// start starts the server and waits until it answers, recovered if it must.
func (d *database) start(c *cluster.Cluster) {
	d.t.Helper()
	_ = os.Remove(filepath.Join(d.data, "postmaster.pid")) // of a server that died, or lives on another clone
	d.process = asPostgres(d.t, exec.CommandContext(context.WithoutCancel(d.t.Context()), postgres(d.t, "postgres"), "-D", d.data, "-k", d.socket,
		"-c", "listen_addresses=", "-c", "shared_buffers=16MB", "-c", "checkpoint_timeout=30s", "-c", "max_wal_size=32MB", "-c", "min_wal_size=32MB"))
	log, err := os.OpenFile(filepath.Join(d.socket, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	d.process.Stdout, d.process.Stderr = log, log
	if err := errors.Join(d.process.Start(), log.Close()); err != nil {
		d.t.Fatal(err)
	}
	until(d.t, c, "the database answers", func() (bool, error) {
		_, err := d.ask("select 1")
		if err != nil {
			text, _ := os.ReadFile(filepath.Join(d.socket, "log"))
			err = fmt.Errorf("%w: %s", err, text)
		}
		return err == nil, nil
	})
}

// ask runs a statement and returns what it answers.
func (d *database) ask(statement string) (string, error) {
	c := exec.CommandContext(context.WithoutCancel(d.t.Context()), postgres(d.t, "psql"), "-h", d.socket, "-U", "postgres", "-qtAX", "-v", "ON_ERROR_STOP=1", "-c", statement, "postgres")
	c.Dir = "/"
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", statement, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func (d *database) must(statement string) string {
	d.t.Helper()
	out, err := d.ask(statement)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// kill ends the server as a loss of power would.
func (d *database) kill() {
	if d.process == nil {
		return
	}
	_ = d.process.Process.Kill()
	_ = d.process.Wait()
	d.process = nil
}

// stop ends the server in order.
func (d *database) stop() {
	d.t.Helper()
	if err := errors.Join(d.process.Process.Signal(os.Interrupt), d.process.Wait()); err != nil {
		d.t.Error(err)
	}
	d.process = nil
}

// insert commits one row after the other until stop is closed, and returns the
// number of the last one that was acknowledged. A server that dies ends it, too.
func (d *database) insert(from int, stop <-chan struct{}) (last int) {
	for last = from; ; {
		select {
		case <-stop:
			return last
		default:
		}
		if _, err := d.ask(fmt.Sprintf("insert into rows select %d, repeat('x', 500)", last+1)); err != nil {
			return last
		}
		last++
	}
}

// judge insists that the rows are 1 to some last one that is at least acked.
func (d *database) judge(what string, acked int) (last int) {
	d.t.Helper()
	got := d.must("select count(*) || ' ' || coalesce(min(n), 1) || ' ' || coalesce(max(n), 0) || ' ' || count(distinct n) from rows")
	var count, first, distinct int
	if _, err := fmt.Sscanf(got, "%d %d %d %d", &count, &first, &last, &distinct); err != nil {
		d.t.Fatalf("%s: %q: %v", what, got, err)
	}
	if first != 1 || count != last || distinct != last || last < acked {
		d.t.Errorf("%s: it has %d rows from %d to %d, %d different, and %d were acknowledged", what, count, first, last, distinct, acked)
	}
	return last
}

func TestE2EDatabaseIsSnapshottedClonedAndSurvives(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	postgres(t, "postgres")
	c := newCluster(t, "768MiB", "a", "b", "c")
	up(t, c)
	a, b := c.Node("a"), c.Node("b")
	mounted := func(n *cluster.Node, name string) string {
		target := filepath.Join(n.Dir(), "mnt-"+name)
		until(t, c, name+" is mounted", func() (bool, error) {
			_, err := n.Client().Attach(t.Context(), name, api.Attach{Mount: target})
			return err == nil, err
		})
		return target
	}
	create(t, a, "db", map[string]string{"size": "256MiB", "replicas": "2", "nodes": "a+b"})
	first := newDatabase(t, mounted(a, "db"))
	first.initialise()
	first.start(c)
	first.must("create table rows (n int primary key, filler text)")

	stop := make(chan struct{})
	acked := 0
	var inserting sync.WaitGroup
	inserting.Go(func() { acked = first.insert(0, stop) })
	until(t, c, "there is a load", func() (bool, error) {
		n, err := first.ask("select count(*) from rows")
		return len(n) > 1, err
	})
	before := first.judge("before the snapshot", 0)
	lagan(t, b, "snapshot", "create", "db", "monday")
	after := first.judge("after the snapshot", before)
	until(t, c, "the load went on", func() (bool, error) {
		n, err := strconv.Atoi(first.must("select count(*) from rows"))
		return n > after+10, err
	})
	lagan(t, b, "volume", "clone", "db@monday", "copy")
	second := newDatabase(t, mounted(b, "copy"))
	second.start(c)
	if got := second.judge("the clone", before); got > after {
		t.Errorf("the clone has row %d, which was inserted after the snapshot", got)
	}
	second.must("delete from rows where n > 10")
	second.must("insert into rows select n, 'of the clone' from generate_series(11, 20) n")

	// Both nodes die under both databases.
	for _, n := range []*cluster.Node{a, b} {
		if err := n.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	first.kill() // it waits for a device that is gone
	second.kill()
	inserting.Wait()
	start(t, c, "a", "b")
	first.data = filepath.Join(mounted(b, "db"), "pg") // on the other node
	first.start(c)
	first.judge("after the death of its node", acked)
	second.data = filepath.Join(mounted(a, "copy"), "pg")
	second.start(c)
	if got := second.judge("the clone after the death of its node", 20); got != 20 {
		t.Errorf("the clone has %d rows", got)
	}
	first.stop()
	second.stop()
	for n, name := range map[*cluster.Node]string{b: "db", a: "copy"} { // any order: both
		if err := n.Client().Unmount(t.Context(), name, ""); err != nil {
			t.Error(err)
		}
	}
	lagan(t, a, "snapshot", "restore", "db", "monday")
	first.data = filepath.Join(mounted(a, "db"), "pg")
	first.start(c)
	if got := first.judge("gone back", before); got > after {
		t.Errorf("it has row %d, which was inserted after the snapshot", got)
	}
	first.stop()
	if err := a.Client().Unmount(t.Context(), "db", ""); err != nil {
		t.Error(err)
	}
}

func TestE2EFileSystemIsCleanInASnapshot(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	require.Program(t, "fsfreeze", "util-linux")
	c := newCluster(t, "256MiB", "a", "b", "c")
	up(t, c)
	a, b := c.Node("a"), c.Node("b")
	create(t, a, "db", map[string]string{"size": "64MiB", "replicas": "2"})
	target := filepath.Join(a.Dir(), "mnt")
	attach(t, a, "db", api.Attach{Mount: target})
	// Not synced: only a frozen file system has it on the device.
	if err := os.WriteFile(filepath.Join(target, "note"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	lagan(t, b, "snapshot", "create", "db", "monday") // by a node that has it not mounted
	if err := writeDurably(filepath.Join(target, "note"), "changed"); err != nil {
		t.Fatalf("the file system is frozen after the snapshot: %v", err)
	}
	lagan(t, b, "snapshot", "create", "db", "tuesday", "--freeze=false")
	if err := a.Client().Unmount(t.Context(), "db", ""); err != nil {
		t.Fatal(err)
	}
	lagan(t, b, "snapshot", "restore", "db", "monday", "--discard")
	attach(t, b, "db", api.Attach{Mount: filepath.Join(b.Dir(), "mnt")})
	if text, err := os.ReadFile(filepath.Join(b.Dir(), "mnt", "note")); err != nil || string(text) != "kept" {
		t.Errorf("the snapshot has %q, %v", text, err)
	}
	if err := b.Client().Unmount(t.Context(), "db", ""); err != nil {
		t.Fatal(err)
	}
	if names := snapshotNames(t, a, "db", "ready"); !slices.Equal(names, []string{"monday", "tuesday"}) {
		t.Errorf("snapshots: %v", names)
	}
}
