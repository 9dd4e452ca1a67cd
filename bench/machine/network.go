package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Network connects machines with each other and with nothing else. Its switch is
// in a network namespace of its own: the filters of this computer do not reach it.
type Network struct {
	space  space
	prefix string // of the addresses, as in 10.77.0
}

// NewNetwork makes a network of the addresses prefix.1 to prefix.254.
func NewNetwork(ctx context.Context, prefix string) (*Network, error) {
	n := &Network{prefix: prefix}
	var err error
	if n.space, err = newSpace(ctx); err != nil {
		return nil, err
	}
	for _, arguments := range []string{"link add switch type bridge", "link set switch up"} {
		if err := inNetworkOf(ctx, n.space.pid(), "ip", strings.Fields(arguments)...); err != nil {
			n.Close()
			return nil, err
		}
	}
	return n, nil
}

// Close removes the network; machines on it have none any more.
func (n *Network) Close() { n.space.end() }

// space is a network namespace. It lives as long as the process that holds it.
type space struct {
	holder *os.Process
	ended  chan struct{}
}

func newSpace(ctx context.Context) (space, error) {
	command := exec.CommandContext(context.WithoutCancel(ctx), "sleep", "infinity")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Cloneflags: syscall.CLONE_NEWNET}
	if err := command.Start(); err != nil {
		return space{}, fmt.Errorf("make a network namespace: %w", err)
	}
	s := space{holder: command.Process, ended: make(chan struct{})}
	go func() {
		_ = command.Wait() // it is only ever killed
		close(s.ended)
	}()
	return s, nil
}

func (s space) pid() int { return s.holder.Pid }

func (s space) end() {
	_ = s.holder.Kill() // it may be gone
	<-s.ended
}

// Host is a place on a network for processes that share all else with this computer.
type Host struct {
	Link  *Link
	space space
}

// NewHost makes a host at the place number.
func (n *Network) NewHost(ctx context.Context, number int) (*Host, error) {
	s, err := newSpace(ctx)
	if err != nil {
		return nil, err
	}
	h := &Host{n.Link(number), s}
	if err := h.Link.connect(ctx, s.pid()); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Command returns a command that runs there. Its process is the program's own.
func (h *Host) Command(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	return commandInNetworkOf(ctx, h.space.pid(), program, arguments...)
}

// Close removes the host; its processes are cut off for good.
func (h *Host) Close() { h.space.end() }

// Link is one machine's place on a network.
type Link struct {
	network *Network
	number  int
}

// Link returns the place number on the network, from 1.
func (n *Network) Link(number int) *Link { return &Link{n, number} }

// Address returns the address of that place.
func (l *Link) Address() string { return fmt.Sprintf("%s.%d", l.network.prefix, l.number) }

// connect gives the network namespace of a process its place on the network. Its
// default route leads nowhere: programs ask for it to learn their address.
func (l *Link) connect(ctx context.Context, pid int) error {
	for _, step := range []struct {
		pid       int
		arguments string
	}{
		{pid, fmt.Sprintf("link add eth0 type veth peer name %s netns %d", l.port(), l.network.space.pid())},
		{l.network.space.pid(), "link set " + l.port() + " master switch up"},
		{pid, "address add " + l.Address() + "/24 dev eth0"},
		{pid, "link set lo up"},
		{pid, "link set eth0 up"},
		{pid, "route add default dev eth0"},
	} {
		if err := inNetworkOf(ctx, step.pid, "ip", strings.Fields(step.arguments)...); err != nil {
			return err
		}
	}
	return nil
}

// port is the switch's end of the link.
func (l *Link) port() string { return "port" + strconv.Itoa(l.number) }

// Cut has everything vanish that is sent over the link, as an unplugged cable does.
func (l *Link) Cut(ctx context.Context) error { return l.set(ctx, "down") }

// Mend undoes Cut.
func (l *Link) Mend(ctx context.Context) error { return l.set(ctx, "up") }

func (l *Link) set(ctx context.Context, state string) error {
	return inNetworkOf(ctx, l.network.space.pid(), "ip", "link", "set", l.port(), state)
}

func inNetworkOf(ctx context.Context, pid int, program string, arguments ...string) error {
	_, err := output(commandInNetworkOf(ctx, pid, program, arguments...), nil)
	return err
}

func commandInNetworkOf(ctx context.Context, pid int, program string, arguments ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--target", strconv.Itoa(pid), "--net", "--", program}, arguments...)...)
}
