package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lagan-storage/lagan/plugin/device/fuse"
	"github.com/lagan-storage/lagan/plugin/device/holder"
)

// readyFile is the descriptor on which a holder says that it listens.
const readyFile = 3

func holderSocket(run string) string { return filepath.Join(run, "holder.sock") }

func devicesDir(run string) string { return filepath.Join(run, "devices") }

// Hold is the process that keeps devices for the daemon with that runtime directory.
// It must survive what ends that: it has a session of its own, and ignores what asks
// it to stop.
func Hold(ctx context.Context, run string, grace time.Duration, log *slog.Logger) error {
	return holder.Run(context.WithoutCancel(ctx), holder.Params{
		Socket: holderSocket(run), Grace: cmp.Or(grace, holder.GraceDefault), Log: log,
		Ready: func() {
			ready := os.NewFile(readyFile, "ready")
			_, _ = ready.WriteString("+") // who started it may be gone, and the next daemon finds the socket
			_ = ready.Close()
		},
		Remove: func(ctx context.Context) error {
			_, err := fuse.Cleanup(ctx, devicesDir(run))
			return err
		},
	})
}

// startHolder starts that process and returns once it listens. What it logs goes to a
// file: a pipe of this process would end with it.
func startHolder(ctx context.Context, run string) (err error) {
	ours, its, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = ours.Close() }() // only read
	defer func() { _ = its.Close() }()
	log, err := os.OpenFile(filepath.Join(run, "holder.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	arguments := []string{"hold", "--run", run}
	if grace := os.Getenv("LAGAN_HOLD_GRACE"); grace != "" {
		arguments = append(arguments, "--grace", grace)
	}
	c := exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe", arguments...) // as this is, whatever lies there now
	c.Stdout, c.Stderr, c.ExtraFiles = log, log, []*os.File{its}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _ = c.Wait() }() // only so that it leaves no zombie: it outlives this process, as a rule
	if err := its.Close(); err != nil {
		return err
	}
	if n, err := ours.Read(make([]byte, 1)); n == 0 {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("it ended at once: see %s", log.Name())
		}
		return err
	}
	return nil
}
