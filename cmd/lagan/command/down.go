package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// downLook is how often the wait for a process looks whether it was broken off.
const downLook = 200 * time.Millisecond

func (s *session) down() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Stop this node in order, and return when it has stopped", Args: exactly(0),
		Long: `Stop this node in order, and return when it has stopped. Volumes that are
mounted here are written out, unmounted and detached; their data stays, and other
nodes go on.`,
		RunE: func(c *cobra.Command, _ []string) error {
			stopping, err := s.client().Stop(c.Context())
			if err != nil {
				return err
			}
			return awaitEnd(c.Context(), stopping.Process)
		},
	}
}

// awaitEnd returns when a process has ended that is not our child.
func awaitEnd(ctx context.Context, process int) error {
	fd, err := unix.PidfdOpen(process, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil // it was quick
	case err != nil:
		return fmt.Errorf("wait for process %d: %w: it stops all the same", process, err)
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(downLook.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w: it stops all the same", process, err)
		}
		if n > 0 {
			return nil
		}
	}
	return fmt.Errorf("process %d goes on stopping: %w", process, ctx.Err())
}
