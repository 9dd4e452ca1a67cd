// Package command is the command line: it parses arguments, calls a node's API
// or starts one, and prints the outcome. It holds no logic of its own. main
// calls it, and tests do so as main does.
//
// Exit codes: 0 done, 1 not done, 2 the arguments make no sense.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/cmd/lagan/config"
	"github.com/lagan-storage/lagan/rest/client"
)

// The exit codes.
const (
	exitDone    = 0
	exitNotDone = 1
	exitUsage   = 2
)

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs one command and returns its exit code.
func Run(ctx context.Context, arguments []string, s Streams) int {
	root := newRoot(s)
	root.SetArgs(arguments)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	_, _ = fmt.Fprintf(s.Err, "lagan: %v\n", err) // there is nowhere else to say it
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitNotDone
}

// usageError says that the arguments make no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// session is what the commands of one invocation share.
type session struct {
	Streams
	socket string
	output string
}

func (s *session) client() *client.Client { return client.OverSocket(s.socket) }

func newRoot(streams Streams) *cobra.Command {
	s := &session{Streams: streams}
	root := &cobra.Command{
		Use:           "lagan",
		Short:         "Replicated block volumes for containers",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetIn(streams.In)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nsee: %s --help", err, c.CommandPath())}
	})
	root.PersistentFlags().StringVar(&s.socket, "socket", "", "socket of the node to talk to (or LAGAN_SOCKET; default lagan.sock in the node's --run)")
	root.PersistentFlags().StringVarP(&s.output, "output", "o", "table", "table or json")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if s.output != "table" && s.output != "json" {
			return usageError{fmt.Errorf("output %q: use table or json", s.output)}
		}
		if s.socket == "" {
			s.socket = cmp.Or(os.Getenv("LAGAN_SOCKET"), config.Socket(os.Getenv))
		}
		return nil
	}
	root.AddCommand(s.up(), s.join(), s.down(), s.token(), s.status(), s.volume(), s.node(), s.disk(), s.version())
	return root
}

// exactly wants n arguments and says so as a matter of usage.
func exactly(n int) cobra.PositionalArgs { return between(n, n) }

func between(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, arguments []string) error {
		if n := len(arguments); n < least || n > most {
			return usageError{fmt.Errorf("%d arguments are given: write %s", n, c.UseLine())}
		}
		return nil
	}
}
