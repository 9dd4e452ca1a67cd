package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// engineName is how Signal finds the engine.
	engineName = "dockerd"
	// engineUpWithin bounds the start of an engine on a busy machine.
	engineUpWithin = 2 * time.Minute
)

// engine is the container engine of a machine, as a process.
type engine struct {
	mu      sync.Mutex // guards what follows
	ended   chan struct{}
	outcome error
}

// await returns when the engine's process is gone.
func (e *engine) await(ctx context.Context) error {
	e.mu.Lock()
	ended := e.ended
	e.mu.Unlock()
	if ended == nil {
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the container engine does not end: %w", ctx.Err())
	}
}

// EngineLog returns the file with the engine's log.
func (m *Machine) EngineLog() string { return filepath.Join(m.p.Dir, "engine.log") }

// StartEngine starts the machine's container engine and returns when it answers.
// The engine has no network but that of its host and none, unless the machine has a Link;
// arguments are added to its command line.
func (m *Machine) StartEngine(ctx context.Context, arguments ...string) error {
	// The computer's own settings are for its own engine.
	settings := filepath.Join(m.p.Dir, "engine.json")
	if err := os.WriteFile(settings, []byte("{}\n"), 0o600); err != nil {
		return fmt.Errorf("write the engine's settings: %w", err)
	}
	arguments = append([]string{"--config-file", settings, "--cgroup-parent", "/" + m.group(), "--bridge=none", "--iptables=false"}, arguments...)
	log, err := os.OpenFile(m.EngineLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of the engine of machine %s: %w", m.p.Name, err)
	}
	command := m.Daemon(context.WithoutCancel(ctx), engineName, "dockerd", arguments...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return errors.Join(fmt.Errorf("start the engine of machine %s: %w", m.p.Name, err), log.Close())
	}
	ended := make(chan struct{})
	m.engine.mu.Lock()
	m.engine.ended = ended
	m.engine.mu.Unlock()
	go func() {
		err := errors.Join(command.Wait(), log.Close())
		m.engine.mu.Lock()
		m.engine.outcome = err
		m.engine.mu.Unlock()
		close(ended)
	}()
	return m.awaitEngine(ctx, ended)
}

func (m *Machine) awaitEngine(ctx context.Context, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, engineUpWithin)
	defer cancel()
	for {
		_, err := m.Docker(ctx, nil, "version", "--format", "{{.Server.Version}}")
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			m.engine.mu.Lock()
			defer m.engine.mu.Unlock()
			return fmt.Errorf("machine %s: %w: it ended: %w\n%s", m.p.Name, ErrEngine, m.engine.outcome, tail(m.EngineLog()))
		default:
		}
		if pauseErr := m.p.Pause(ctx, lookEvery); pauseErr != nil {
			return fmt.Errorf("machine %s: %w: it does not answer: %w\n%s", m.p.Name, ErrEngine, errors.Join(pauseErr, err), tail(m.EngineLog()))
		}
	}
}

// tail returns the end of a file.
func tail(name string) string {
	const bytesMax = 4 << 10
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-bytesMax):])
}

// KillEngine kills the engine's process alone, as a crash of it would: its
// containers go on.
func (m *Machine) KillEngine(ctx context.Context) error {
	if err := m.Signal(ctx, engineName, syscall.SIGKILL); err != nil {
		return err
	}
	return m.engine.await(ctx)
}

// StopEngine ends the engine in order.
func (m *Machine) StopEngine(ctx context.Context) error {
	if err := m.Signal(ctx, engineName, syscall.SIGTERM); err != nil {
		return err
	}
	return m.engine.await(ctx)
}

// DockerCommand returns the command docker, which talks to the machine's engine
// from outside, as from an administrator's desk.
func (m *Machine) DockerCommand(ctx context.Context, arguments ...string) *exec.Cmd {
	socket := "unix://" + m.Path("/run/docker.sock")
	return exec.CommandContext(ctx, "docker", append([]string{"--host", socket}, arguments...)...)
}

// Docker runs docker and returns what it printed, without blanks around.
func (m *Machine) Docker(ctx context.Context, in io.Reader, arguments ...string) (string, error) {
	out, err := output(m.DockerCommand(ctx, arguments...), in)
	if err != nil {
		return out, fmt.Errorf("on machine %s: %w", m.p.Name, err)
	}
	return out, nil
}

// removeGroups removes the control groups that the engine made for its containers.
func (m *Machine) removeGroups(ctx context.Context) error {
	const root = "/sys/fs/cgroup"
	ctx, cancel := context.WithTimeout(ctx, goneWithin)
	defer cancel()
	var tops []string
	for _, pattern := range []string{root, filepath.Join(root, "*")} { // one hierarchy, or many
		found, err := filepath.Glob(filepath.Join(pattern, m.group()))
		if err != nil {
			return err
		}
		tops = append(tops, found...)
	}
	for {
		var errs []error
		for _, top := range tops {
			errs = append(errs, removeFolders(top))
		}
		err := errors.Join(errs...)
		if err == nil {
			return nil
		}
		if m.p.Pause(ctx, lookEvery) != nil { // its processes are on their way out
			return fmt.Errorf("remove the control groups of machine %s: %w", m.p.Name, err)
		}
	}
}

// removeFolders removes a folder and those below it; the files in them are the kernel's.
func removeFolders(top string) error {
	var folders []string
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			folders = append(folders, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // what is gone need not be removed
	}
	for _, folder := range slices.Backward(folders) { // the deepest first
		if removeErr := os.Remove(folder); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}
