package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/rest/client"
)

// Node is one process lagan up, and the next one on the same directory.
type Node struct {
	Name    string
	Socket  string
	cluster *Cluster
	dir     string
	data    string // host:port
	client  string // host:port of its metadata store's member
	api     string // host:port
	peers   string
	disks   []string
	extra   []string // more arguments

	mu      sync.Mutex // guards what follows
	process *os.Process
	ended   chan struct{}
	outcome error
	killed  bool // the last process did not stop in order
}

// Dir returns the node's directory.
func (n *Node) Dir() string { return n.dir }

// LogFile returns where the node's log is.
func (n *Node) LogFile() string { return filepath.Join(n.dir, "log") }

func (n *Node) devices() string { return filepath.Join(n.dir, "run", "devices") }

// SetDisks replaces the arguments --disk of the next start.
func (n *Node) SetDisks(disks ...string) { n.disks = disks }

// arguments returns the command line of the node.
func (n *Node) arguments() []string {
	list := []string{
		"up", "--name", n.Name, "--data", n.dir, "--run", filepath.Dir(n.Socket),
		"--listen", n.data, "--peers", n.peers, "--etcd-client", n.client, "--api", n.api,
	}
	for _, d := range n.disks {
		list = append(list, "--disk", d)
	}
	if len(n.disks) == 0 {
		list = append(list, "--no-disk")
	}
	if n.cluster.p.Plain {
		list = append(list, "--plain")
	}
	return append(list, n.extra...)
}

// Start starts the process and does not wait for it.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil {
		return fmt.Errorf("node %s runs already", n.Name)
	}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of node %s: %w", n.Name, err)
	}
	log, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of node %s: %w", n.Name, err)
	}
	// Not bound to ctx: how the process ends is what this is about.
	command := exec.CommandContext(context.WithoutCancel(ctx), n.cluster.p.Binary, n.arguments()...)
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

// AwaitReady returns when the node can do its part.
func (n *Node) AwaitReady(ctx context.Context) error {
	api := n.Client()
	defer api.Close()
	return n.cluster.Until(ctx, "node "+n.Name+" is ready", func() (bool, error) {
		if !n.Running() {
			return false, fmt.Errorf("node %s ended: %w\n%s", n.Name, n.Outcome(), n.Tail())
		}
		err := api.Ready(ctx)
		return err == nil, err
	})
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

// PID returns the process of the node, 0 while there is none.
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
func (n *Node) signal(s unix.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return nil
	}
	if s == unix.SIGKILL {
		n.killed = true
	}
	if err := n.process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal node %s: %w", n.Name, err)
	}
	return nil
}

// Kill ends the process as a power cut of the daemon would, and returns when it
// is gone.
func (n *Node) Kill(ctx context.Context) error {
	if err := n.signal(unix.SIGKILL); err != nil {
		return err
	}
	err := n.awaitEnd(ctx)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// Freeze stops the process in its tracks; Thaw lets it go on.
func (n *Node) Freeze() error { return n.signal(unix.SIGSTOP) }

// Thaw lets a frozen process go on.
func (n *Node) Thaw() error { return n.signal(unix.SIGCONT) }

// Stop ends the process in order.
func (n *Node) Stop(ctx context.Context) error {
	if err := n.signal(unix.SIGTERM); err != nil {
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
		late = errors.Join(late, n.signal(unix.SIGKILL))
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
