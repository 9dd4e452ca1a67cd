// Package program runs programs of the system, such as mount and mkfs, on
// devices that the calling process serves itself. It owns nothing. Drivers and
// the file system operations call it, so that no thread of the daemon waits for
// one of its own devices in a way that cannot be killed.
package program

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Run runs a program to its end and returns its exit status; an error says what
// it printed.
//
// When the context ends, the program is killed and Run returns at once, with
// the status -1. One that waits for a device inside the kernel cannot die
// before the device answers or is aborted, and the caller who would abort it
// must not wait for that.
func Run(ctx context.Context, name string, arguments ...string) (status int, err error) {
	type result struct {
		status int
		err    error
	}
	ended := make(chan result, 1)
	go func() { // left to the abort of the device, see above
		status, err := run(ctx, name, arguments)
		ended <- result{status, err}
	}()
	select {
	case r := <-ended:
		return r.status, r.err
	case <-ctx.Done():
		return -1, fmt.Errorf("%s %s: %w", name, strings.Join(arguments, " "), ctx.Err())
	}
}

func run(ctx context.Context, name string, arguments []string) (status int, err error) {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Env = append(command.Environ(), "LC_ALL=C")
	out, err := command.CombinedOutput()
	if err == nil {
		return 0, nil
	}
	var exit *exec.ExitError
	if errors.Is(err, exec.ErrNotFound) {
		return -1, fmt.Errorf("run %s: %w: install the package that brings it", name, err)
	}
	if !errors.As(err, &exit) {
		return -1, fmt.Errorf("run %s: %w", name, err)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	text := strings.Join(strings.Fields(string(out)), " ")
	return exit.ExitCode(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, text)
}
