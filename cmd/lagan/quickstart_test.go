package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/lagan-storage/lagan/bench/machine"
	"github.com/lagan-storage/lagan/plugin/require"
)

// instruction is one command of the quick start, and where it is to be typed.
type instruction struct{ where, command string }

// quickStart reads the commands of a cluster of one's own out of the README: the
// block of its quick start that begins with lagan up. A comment says where the
// commands after it are for, up to its first comma or colon.
func quickStart(t *testing.T) (all []instruction) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Quick start\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for i, block := range strings.Split(section, "\n```") {
		if i%2 == 0 || !strings.Contains(block, "lagan up") {
			continue
		}
		where := ""
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			if comment, ok := strings.CutPrefix(line, "# "); ok {
				where, _, _ = strings.Cut(comment, ",")
				where, _, _ = strings.Cut(where, ":")
			} else if line != "" {
				all = append(all, instruction{where, line})
			}
		}
	}
	return all
}

// beginner follows the quick start on three machines, each with an engine.
type beginner struct {
	*testing.T
	machines []*machine.Machine
	bin      string            // where the program is
	printed  map[string]string // by command, what it printed
}

// newBeginner makes machines on a network of their own, whose addresses are those
// of the README.
func newBeginner(t *testing.T) *beginner {
	t.Helper()
	require.FUSE(t)
	require.Docker(t)
	require.Program(t, "ip", "iproute2")
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	b := &beginner{T: t, bin: workDir(t), printed: map[string]string{}}
	script := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s \"$@\"\n", asLagan, program(t))
	if err := os.WriteFile(filepath.Join(b.bin, "lagan"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	network, err := machine.NewNetwork(t.Context(), "10.0.0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(network.Close)
	for i, name := range []string{"first", "second", "third"} {
		m := machine.New(machine.Params{Name: name, Dir: workDir(t), Link: network.Link(i + 1), Pause: pause})
		b.machines = append(b.machines, m)
		t.Cleanup(func() {
			if err := m.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		err := m.Start(t.Context())
		if err == nil {
			err = m.StartEngine(t.Context())
		}
		if errors.Is(err, machine.ErrEngine) {
			require.Works(t, "docker", err)
		}
		if err == nil {
			err = m.Import(t.Context(), "busybox")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// on returns the machines that the README means.
func (b *beginner) on(where string) []*machine.Machine {
	b.Helper()
	switch where {
	case "on the first machine":
		return b.machines[:1]
	case "on two others":
		return b.machines[1:]
	case "on any of them":
		return b.machines[1:2]
	case "on another one":
		return b.machines[2:]
	}
	b.Fatalf("the README says %q: this test does not know where that is", where)
	return nil
}

// fit makes a command of the README one for these machines: the token is the one
// that was printed, and disks are small.
func (b *beginner) fit(command string) string {
	for _, pair := range [][2]string{
		{"100GiB", "512MiB"}, {"10GiB", "64MiB"}, {"…", b.printed["token"]},
	} {
		command = strings.ReplaceAll(command, pair[0], pair[1])
	}
	return "PATH=" + b.bin + ":$PATH; " + command
}

// leave starts a command that stays in the foreground, and returns where it
// prints. It is told to end when the test is over, and must end in order.
func (b *beginner) leave(m *machine.Machine, command string) (log string) {
	b.Helper()
	log = filepath.Join(workDir(b.T), "log")
	file, err := os.Create(log)
	if err != nil {
		b.Fatal(err)
	}
	c := m.Daemon(context.Background(), "lagan", "sh", "-c", b.fit("exec "+command))
	c.Stdout, c.Stderr = file, file
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		err := errors.Join(m.Signal(context.Background(), "lagan", syscall.SIGTERM), c.Wait(), file.Close())
		if err != nil || b.Failed() {
			text, _ := os.ReadFile(log) // or there is nothing to show
			b.Errorf("%s: %v\n%s", command, err, text)
		}
	})
	return log
}

// soon looks until holds, for as long as a busy machine may take.
func (b *beginner) soon(what string, holds func() (bool, error)) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	for {
		done, err := holds()
		if done && err == nil {
			return
		}
		if pauseErr := pause(ctx, 100*1e6); pauseErr != nil {
			b.Fatalf("waited in vain until %s: %v", what, err)
		}
	}
}

func TestE2EQuickStartOfTheREADMEHoldsWhatItSays(t *testing.T) {
	t.Parallel()
	all := quickStart(t)
	if len(all) == 0 {
		t.Fatal("the README has no quick start that begins with lagan up")
	}
	b := newBeginner(t)
	steps := 0 // to a replicated volume in a container
	for i, step := range all {
		for _, m := range b.on(step.where) {
			b.follow(m, step.command)
		}
		if steps == 0 && strings.HasPrefix(step.command, "docker run") {
			steps = i + 1
		}
	}
	if steps == 0 || steps > 5 {
		t.Errorf("it takes %d commands to a replicated volume in a container, want 1 to 5", steps)
	}
}

// follow types one command and looks at what the README says of it.
func (b *beginner) follow(m *machine.Machine, command string) {
	b.Helper()
	switch {
	case strings.HasPrefix(command, "lagan up "):
		log := b.leave(m, command)
		join := regexp.MustCompile(`(?m)^\s*(lagan join \S+ --token )(\S+)$`)
		b.soon("lagan up says how others join", func() (bool, error) {
			text, err := os.ReadFile(log)
			if found := join.FindStringSubmatch(string(text)); found != nil {
				b.printed["join"], b.printed["token"] = found[1], found[2]
			}
			return b.printed["token"] != "", err
		})
	case strings.HasPrefix(command, "lagan join "):
		if !strings.HasPrefix(command, b.printed["join"]) {
			b.Errorf("the README says %q, and lagan up printed %q", command, b.printed["join"])
		}
		b.leave(m, command)
		b.soon("the node can do its part", func() (bool, error) {
			out, err := m.Run(b.Context(), nil, "sh", "-c", b.fit("lagan status"))
			return strings.Count(out, "\n") > 0, err
		})
	case strings.HasPrefix(command, "docker volume inspect"):
		b.inspected(b.output(m, command))
	case strings.Contains(command, " cat "):
		if out := b.output(m, command); out != "kept" {
			b.Errorf("%s says %q", command, out)
		}
	default:
		b.output(m, command)
	}
}

// output types a command until it does what it says: a machine that has just
// joined, and a volume that has just been used elsewhere, take a moment.
func (b *beginner) output(m *machine.Machine, command string) (out string) {
	b.Helper()
	b.soon(command, func() (done bool, err error) {
		out, err = m.Run(b.Context(), nil, "sh", "-c", b.fit(command))
		return err == nil, err
	})
	return out
}

// inspected checks that docker volume inspect shows where the copies are and
// whether all is well.
func (b *beginner) inspected(text string) {
	b.Helper()
	var shown []struct {
		Name, Driver string
		Status       struct {
			Health   string
			Replicas []struct{ Node, State string }
		}
	}
	if err := json.Unmarshal([]byte(text), &shown); err != nil || len(shown) != 1 {
		b.Fatalf("docker volume inspect: %v: %s", err, text)
	}
	s := shown[0].Status
	if shown[0].Driver != "lagan" || s.Health != "healthy" || len(s.Replicas) != 2 || s.Replicas[0].Node == s.Replicas[1].Node {
		b.Errorf("docker volume inspect shows %s", text)
	}
}
