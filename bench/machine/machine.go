// Package machine makes machines on this one, each with a container engine of its
// own, so that one computer can show what happens to a cluster when one of its
// machines dies. Package cluster runs nodes on them, the demonstration and the
// end-to-end tests use both.
//
// A machine is a set of namespaces. What runs there finds everything at its usual
// place and nothing of the other machines:
//
//	processes        its own; the first one's end is the end of all, as a power cut is
//	mounts, /run     its own, and empty at every start
//	/var/lib         the folder lib of the machine's directory, kept from start to start
//	host name        the machine's
//	network          its own, connected by a Network; or this computer's
//	/dev, the rest   this computer's
//
// It promises that no process, mount, namespace or control group of a machine is
// left after Close, nor a process when the program that made it is killed.
package machine

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrEngine says that a container engine does not come up on this computer.
var ErrEngine = errors.New("container engine does not come up")

const (
	// lookEvery is how often something is looked at that says nothing by itself.
	lookEvery = 50 * time.Millisecond
	// goneWithin bounds the wait for the end of killed processes.
	goneWithin = time.Minute
)

// boot is what the first process of a machine does: $1 is its name, $2 what is
// /var/lib there. On a network of its own no name server can be reached, and
// nobody should wait for one. Devices that others on this computer have mounted are
// none of its: it would keep them in use. Then it waits for the children that others
// left behind.
const boot = `set -e
mount --make-rslave /
mount --make-rshared /
mount -t proc proc /proc
tac /proc/mounts | while read -r source at kind rest; do
	case $kind:$source in fuse.lagan:*|*:/dev/loop*) umount -l "$at" || true ;; esac
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/docker /run/lock
mount --bind "$2" /var/lib
if [ "$3" = linked ] && [ -e /etc/resolv.conf ]; then mount --bind /dev/null /etc/resolv.conf; fi
echo "$1" > /proc/sys/kernel/hostname
echo up
exec >&- 2>&-
while :; do sleep 86400 & wait; done`

// Params says what machine to make.
type Params struct {
	Name string
	Dir  string // of what it keeps; made when missing, removed by Close
	Link *Link  // to other machines; nil: it has this computer's network
	// Pause waits for d or the end of ctx.
	Pause func(ctx context.Context, d time.Duration) error
}

// Machine is one machine, up or not.
type Machine struct {
	p      Params
	engine engine

	mu    sync.Mutex // guards what follows
	first *os.Process
	ended chan struct{}
}

// New plans a machine. Nothing runs yet.
func New(p Params) *Machine { return &Machine{p: p} }

// Missing says which programs machines with engines need and this computer lacks,
// and which packages bring them; "" if all are there.
func Missing() string {
	var missing []string
	for _, pair := range [][2]string{
		{"docker", "docker.io"}, {"dockerd", "docker.io"}, {"busybox", "busybox-static"}, {"nsenter", "util-linux"}, {"mount", "mount"},
	} {
		if _, err := exec.LookPath(pair[0]); err != nil {
			missing = append(missing, fmt.Sprintf("%s (package %s)", pair[0], pair[1]))
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "there is no program " + strings.Join(missing, ", ")
}

// Try returns nil if a machine with an engine that runs containers can be made
// here, else why not. Nothing is left of it.
func Try(ctx context.Context, p Params) (err error) {
	if missing := Missing(); missing != "" {
		return errors.New(missing)
	}
	m := New(p)
	defer func() { err = errors.Join(err, m.Close(ctx)) }()
	const image = "trial"
	err = m.Start(ctx)
	if err == nil {
		err = m.StartEngine(ctx)
	}
	if err == nil {
		err = m.Import(ctx, image)
	}
	if err == nil {
		_, err = m.Docker(ctx, nil, "run", "--rm", "--network", "none", image, "true")
	}
	return err
}

// Start brings the machine up. No engine runs there yet.
func (m *Machine) Start(ctx context.Context) error {
	if err := m.boot(ctx); err != nil {
		return err
	}
	return m.forget(ctx)
}

func (m *Machine) boot(ctx context.Context) error {
	lib := filepath.Join(m.p.Dir, "lib")
	if err := os.MkdirAll(lib, 0o755); err != nil {
		return fmt.Errorf("make the directory of machine %s: %w", m.p.Name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first != nil {
		return fmt.Errorf("machine %s is up already", m.p.Name)
	}
	// Not bound to ctx: how it ends is what this is about.
	network, flags := "", uintptr(syscall.CLONE_NEWNS|syscall.CLONE_NEWPID|syscall.CLONE_NEWUTS)
	if m.p.Link != nil {
		network, flags = "linked", flags|syscall.CLONE_NEWNET
	}
	command := exec.CommandContext(context.WithoutCancel(ctx), "sh", "-c", boot, "sh", m.p.Name, lib, network)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Cloneflags: flags}
	said, err := command.StdoutPipe()
	var complaint strings.Builder
	command.Stderr = &complaint
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return fmt.Errorf("make machine %s: %w", m.p.Name, err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	ended := make(chan struct{})
	wait := func() {
		_ = command.Wait() // it is only ever killed
		close(ended)
	}
	if err != nil || line != "up\n" {
		wait()
		return fmt.Errorf("make machine %s: %w: %s", m.p.Name, err, strings.TrimSpace(complaint.String()))
	}
	go wait()
	m.first, m.ended = command.Process, ended
	if m.p.Link == nil {
		return nil
	}
	return m.p.Link.connect(ctx, m.first.Pid)
}

// pid returns the first process as this computer numbers it, 0 while there is none.
func (m *Machine) pid() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first == nil {
		return 0
	}
	return m.first.Pid
}

// Path returns where this computer finds a file of the machine, as long as that is up.
func (m *Machine) Path(name string) string { return fmt.Sprintf("/proc/%d/root%s", m.pid(), name) }

// Up reports whether the machine is up.
func (m *Machine) Up() bool { return m.pid() != 0 }

// Command returns a command that runs on the machine. A signal to its process
// does not reach the program: Signal does.
func (m *Machine) Command(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	spaces := []string{"--target", strconv.Itoa(m.pid()), "--mount", "--pid", "--uts"}
	if m.p.Link != nil {
		spaces = append(spaces, "--net")
	}
	return exec.CommandContext(ctx, "nsenter", append(append(spaces, "--", program), arguments...)...)
}

// Run runs a command on the machine and returns what it printed, without blanks
// around.
func (m *Machine) Run(ctx context.Context, in io.Reader, program string, arguments ...string) (string, error) {
	return output(m.Command(ctx, program, arguments...), in)
}

func output(command *exec.Cmd, in io.Reader) (string, error) {
	var out, complaint strings.Builder
	command.Stdin, command.Stdout, command.Stderr = in, &out, &complaint
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// Daemon returns a command that runs on the machine and leaves its number there
// in a file, by which Signal finds it.
func (m *Machine) Daemon(ctx context.Context, name, program string, arguments ...string) *exec.Cmd {
	leave := `echo $$ > "$1"; shift; exec "$@"`
	return m.Command(ctx, "sh", append([]string{"-c", leave, "sh", pidFile(name), program}, arguments...)...)
}

func pidFile(name string) string { return "/run/" + name + ".number" }

// Signal sends a signal to what Daemon started.
func (m *Machine) Signal(ctx context.Context, name string, s syscall.Signal) error {
	send := fmt.Sprintf(`kill -%d "$(cat %s)"`, int(s), pidFile(name))
	_, err := m.Run(ctx, nil, "sh", "-c", send)
	return err
}

// Kill ends everything that runs on the machine at once, and returns when it is
// gone: its processes, mounts and network. What is in its directory stays.
func (m *Machine) Kill(ctx context.Context) error {
	m.mu.Lock()
	first, ended := m.first, m.ended
	m.mu.Unlock()
	if first == nil {
		return nil
	}
	if err := first.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill machine %s: %w", m.p.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, goneWithin)
	defer cancel()
	select {
	case <-ended: // the kernel lets it go last
	case <-ctx.Done():
		return fmt.Errorf("machine %s was killed, but something there does not end: %w", m.p.Name, ctx.Err())
	}
	m.mu.Lock()
	m.first = nil
	m.mu.Unlock()
	return m.engine.await(ctx)
}

// Close kills the machine and removes all that it kept.
func (m *Machine) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if err := m.Kill(ctx); err != nil {
		return err // its files are in use still
	}
	return errors.Join(m.removeGroups(ctx), os.RemoveAll(m.p.Dir))
}

// group names the control group of the machine's containers: no other machine of
// any program has it.
func (m *Machine) group() string {
	return fmt.Sprintf("lagan-%x", sha256.Sum256([]byte(m.p.Dir)))[:len("lagan-")+16]
}
