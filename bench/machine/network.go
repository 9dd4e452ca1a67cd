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
	holder *os.Process // the namespace lives as long as it does
	ended  chan struct{}
	prefix string // of the addresses, as in 10.77.0
}

// NewNetwork makes a network of the addresses prefix.1 to prefix.254.
func NewNetwork(ctx context.Context, prefix string) (*Network, error) {
	command := exec.CommandContext(context.WithoutCancel(ctx), "sleep", "infinity")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Cloneflags: syscall.CLONE_NEWNET}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("make a network: %w", err)
	}
	n := &Network{holder: command.Process, ended: make(chan struct{}), prefix: prefix}
	go func() {
		_ = command.Wait() // it is only ever killed
		close(n.ended)
	}()
	for _, arguments := range []string{"link add switch type bridge", "link set switch up"} {
		if err := inNetworkOf(ctx, n.holder.Pid, "ip", strings.Fields(arguments)...); err != nil {
			n.Close()
			return nil, err
		}
	}
	return n, nil
}

// Close removes the network; machines on it have none any more.
func (n *Network) Close() {
	_ = n.holder.Kill() // it may be gone
	<-n.ended
}

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
	port := "port" + strconv.Itoa(l.number)
	for _, step := range []struct {
		pid       int
		arguments string
	}{
		{pid, fmt.Sprintf("link add eth0 type veth peer name %s netns %d", port, l.network.holder.Pid)},
		{l.network.holder.Pid, "link set " + port + " master switch up"},
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

func inNetworkOf(ctx context.Context, pid int, program string, arguments ...string) error {
	_, err := output(exec.CommandContext(ctx, "nsenter", append([]string{"--target", strconv.Itoa(pid), "--net", "--", program}, arguments...)...), nil)
	return err
}
