package program

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Hold runs a program that prints a line when it has done something, and undoes
// it when its input ends: with release, which waits for that, with ctx if that
// ends before the line came, or with this process, however it ends. It is never
// killed.
func Hold(ctx context.Context, name string, arguments ...string) (release func() error, err error) {
	command := exec.CommandContext(context.WithoutCancel(ctx), name, arguments...)
	command.Env = append(command.Environ(), "LC_ALL=C")
	var complaint bytes.Buffer
	command.Stderr = &complaint
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", name, err)
	}
	said, ended := make(chan struct{}), make(chan error, 1)
	go func() { // ends with the program, which may hang for as long as a device does
		if _, err := bufio.NewReader(out).ReadString('\n'); err == nil {
			close(said)
		}
		err := command.Wait()
		if err != nil {
			err = fmt.Errorf("%s: %w: %s", name, err, strings.Join(strings.Fields(complaint.String()), " "))
		}
		ended <- err
	}()
	release = func() error {
		_ = in.Close() // a pipe: there is nothing to lose
		return <-ended
	}
	select {
	case <-said:
		return release, nil
	case err := <-ended:
		if err == nil {
			err = fmt.Errorf("%s: it ended without a word", name)
		}
		return nil, err
	case <-ctx.Done():
		_ = in.Close()
		return nil, fmt.Errorf("%s: %w", name, ctx.Err())
	}
}
