package cluster

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/bench/machine"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/plugin/device/holder"
	"github.com/lagan-storage/lagan/rest/client"
)

// Node is one process lagan up or lagan join, and the next one on the same directory.
type Node struct {
	Name    string
	Socket  string
	cluster *Cluster
	dir     string
	data    string // host:port
	peer    string // host:port of its member of the metadata store, for others
	client  string // the same for clients
	api     string // host:port
	disks   []string
	machine *machine.Machine // nil: it runs on this computer as it is
	host    *machine.Host    // nil unless the cluster's nodes are apart
	extra   []string         // more arguments
	binary  string           // that is started; "": the cluster's

	mu      sync.Mutex // guards what follows
	process *os.Process
	ended   chan struct{}
	outcome error
	killed  bool // the last process did not stop in order
}

// Dir returns the node's directory.
func (n *Node) Dir() string { return n.dir }

// Machine returns the machine that the node runs on, nil if it has none of its own.
func (n *Node) Machine() *machine.Machine { return n.machine }

// Link returns the node's link to the others, nil unless they are apart.
func (n *Node) Link() *machine.Link {
	if n.host == nil {
		return nil
	}
	return n.host.Link
}

// daemonName is how a machine finds the node's process.
const daemonName = "lagan"

// LogFile returns where the node's log is.
func (n *Node) LogFile() string { return n.dir + ".log" }

func (n *Node) devices() string { return filepath.Join(n.dir, "run", "devices") }

// SetDisks replaces the arguments --disk of the next start.
func (n *Node) SetDisks(disks ...string) { n.disks = disks }

// SetArguments replaces the arguments of the next start that are added to those
// that every node has.
func (n *Node) SetArguments(arguments ...string) { n.extra = arguments }

// SetBinary makes the next start one of another program, as an upgrade does.
func (n *Node) SetBinary(path string) { n.binary = path }

// API returns host:port of the node's API.
func (n *Node) API() string { return n.api }

// Birth returns the arguments that a node of a new data directory is given.
func (n *Node) Birth() []string {
	list := []string{"--name", n.Name, "--listen", n.data, "--etcd-peer", n.peer, "--etcd-client", n.client, "--api", n.api}
	for _, d := range n.disks {
		list = append(list, "--disk", d)
	}
	if len(n.disks) == 0 {
		list = append(list, "--no-disk")
	}
	return list
}

// arguments returns the command line of the node: the first one makes the
// cluster, the others join it by way of one that runs, and a node that was
// started before needs nothing.
func (n *Node) arguments(ctx context.Context) ([]string, error) {
	where := []string{"--data", n.dir, "--run", filepath.Dir(n.Socket)}
	if n.machine == nil {
		where = append(where, "--plugin-socket", "none") // this computer's engine is not the cluster's business
	}
	where = append(where, n.extra...)
	_, belongs, err := datadir.Lookup(n.dir)
	switch {
	case err != nil:
		return nil, err
	case belongs != nil:
		return append([]string{"up"}, where...), nil
	case n.Name == n.cluster.p.Nodes[0]:
		return slices.Concat([]string{"up"}, where, n.Birth()), nil
	}
	for _, name := range n.cluster.p.Nodes {
		host := n.cluster.nodes[name]
		if host == n || !host.Running() {
			continue
		}
		token, err := host.Client().CreateToken(ctx, 0)
		if err != nil {
			return nil, fmt.Errorf("make a token for node %s: %w", n.Name, err)
		}
		return slices.Concat([]string{"join", token.API, "--token", token.Token}, where, n.Birth()), nil
	}
	return nil, fmt.Errorf("no node runs that node %s could join by", n.Name)
}

// Start starts the process, and its machine if that is down, and does not wait
// for it.
func (n *Node) Start(ctx context.Context) error {
	arguments, err := n.arguments(ctx)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil {
		return fmt.Errorf("node %s runs already", n.Name)
	}
	if n.machine != nil && !n.machine.Up() {
		if err := n.machine.Start(ctx); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of node %s: %w", n.Name, err)
	}
	// Not bound to ctx: how the process ends is what this is about.
	ctx = context.WithoutCancel(ctx)
	binary := cmp.Or(n.binary, n.cluster.p.Binary)
	command := exec.CommandContext(ctx, binary, arguments...)
	switch {
	case n.machine != nil:
		command = n.machine.Daemon(ctx, daemonName, binary, arguments...)
	case n.host != nil:
		command = n.host.Command(ctx, binary, arguments...)
	}
	command.Stdout, command.Stderr = log, log
	command.Env = append(command.Environ(), n.cluster.p.Env...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := command.Start(); err != nil {
		return errors.Join(fmt.Errorf("start node %s: %w", n.Name, err), log.Close())
	}
	n.process, n.ended, n.killed = command.Process, make(chan struct{}), false
	go func() {
		err := errors.Join(command.Wait(), log.Close())
		n.mu.Lock()
		n.outcome, n.process = err, nil
		n.mu.Unlock()
		close(n.ended)
	}()
	return nil
}

// AwaitReady returns when the node can do its part, or has ended.
func (n *Node) AwaitReady(ctx context.Context) error {
	api := n.Client()
	defer api.Close()
	var ended error
	err := n.cluster.Until(ctx, "node "+n.Name+" is ready", func() (bool, error) {
		if !n.Running() {
			ended = fmt.Errorf("node %s ended: %w\n%s", n.Name, n.Outcome(), n.Tail())
			return true, nil
		}
		err := api.Ready(ctx)
		return err == nil, err
	})
	return errors.Join(err, ended)
}

// Tail returns the end of the node's log.
func (n *Node) Tail() string {
	const bytesMax = 4 << 10
	text, err := os.ReadFile(n.LogFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-bytesMax):])
}

// PID returns the process of the node, 0 while there is none. On a machine of its
// own it is the one that waits for it.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return 0
	}
	return n.process.Pid
}

// Running reports whether the process is there.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process != nil
}

// Outcome returns how the last process ended.
func (n *Node) Outcome() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.outcome
}

// signal sends a signal if the process is there.
func (n *Node) signal(ctx context.Context, s unix.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return nil
	}
	if s == unix.SIGKILL {
		n.killed = true
	}
	if n.machine != nil && s != unix.SIGKILL {
		if err := n.machine.Signal(ctx, daemonName, s); err != nil {
			return fmt.Errorf("signal node %s: %w", n.Name, err)
		}
		if s != unix.SIGCONT { // who waits for it stops with it
			return nil
		}
	}
	if err := n.process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal node %s: %w", n.Name, err)
	}
	return nil
}

// Kill ends the node as a power cut would, as far as that goes, and returns when it is
// gone: its devices do not outlive it. With a machine of its own all that runs there
// ends at once: the engine, its containers, the daemon.
func (n *Node) Kill(ctx context.Context) error {
	if err := n.kill(ctx); err != nil {
		return err
	}
	if err := n.awaitKilled(ctx); err != nil || n.machine != nil {
		return err
	}
	return holder.Release(ctx, n.holder())
}

func (n *Node) awaitKilled(ctx context.Context) error {
	err := n.awaitEnd(ctx)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

func (n *Node) holder() string { return filepath.Join(n.dir, "run", "holder.sock") }

// KillDaemon ends the daemon alone: its devices outlive it, and what else runs on a
// machine of its own goes on.
func (n *Node) KillDaemon(ctx context.Context) error {
	if n.machine == nil {
		return errors.Join(n.signal(ctx, unix.SIGKILL), n.awaitKilled(ctx))
	}
	n.mu.Lock()
	n.killed = true
	n.mu.Unlock()
	if err := n.machine.Signal(ctx, daemonName, unix.SIGKILL); err != nil {
		return fmt.Errorf("kill the daemon of node %s: %w", n.Name, err)
	}
	return n.awaitKilled(ctx)
}

func (n *Node) kill(ctx context.Context) error {
	if n.machine == nil {
		return n.signal(ctx, unix.SIGKILL)
	}
	n.mu.Lock()
	n.killed = true
	n.mu.Unlock()
	return n.machine.Kill(ctx)
}

// Freeze stops the process in its tracks; Thaw lets it go on.
func (n *Node) Freeze(ctx context.Context) error { return n.signal(ctx, unix.SIGSTOP) }

// Thaw lets a frozen process go on.
func (n *Node) Thaw(ctx context.Context) error { return n.signal(ctx, unix.SIGCONT) }

// Stop ends the process in order.
func (n *Node) Stop(ctx context.Context) error {
	if err := n.signal(ctx, unix.SIGTERM); err != nil {
		return err
	}
	return n.awaitEnd(ctx)
}

// awaitEnd returns when the process is gone, and kills it when ctx ends first.
func (n *Node) awaitEnd(ctx context.Context) error {
	n.mu.Lock()
	ended, killed := n.ended, n.killed
	n.mu.Unlock()
	if ended == nil {
		return nil
	}
	var late error
	select {
	case <-ended:
	case <-ctx.Done():
		late = fmt.Errorf("node %s did not end: %w", n.Name, ctx.Err())
		late = errors.Join(late, n.kill(context.WithoutCancel(ctx)))
		<-ended
	}
	if err := n.Outcome(); err != nil && !killed {
		late = errors.Join(late, fmt.Errorf("node %s: %w\n%s", n.Name, err, n.Tail()))
	}
	return late
}

// Client returns a client of the node's API.
func (n *Node) Client() *client.Client { return client.OverSocket(n.Socket) }

// Lagan runs a command against the node and returns what it printed.
func (n *Node) Lagan(ctx context.Context, in io.Reader, arguments ...string) ([]byte, error) {
	return n.cluster.lagan(ctx, in, append([]string{"--socket", n.Socket}, arguments...)...)
}

func (c *Cluster) lagan(ctx context.Context, in io.Reader, arguments ...string) ([]byte, error) {
	var out, complaint bytes.Buffer
	command := exec.CommandContext(ctx, c.p.Binary, arguments...)
	command.Stdin, command.Stdout, command.Stderr = in, &out, &complaint
	command.Env = append(command.Environ(), c.p.Env...)
	if err := command.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("lagan %s: %w: %s", strings.Join(arguments, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.Bytes(), nil
}
