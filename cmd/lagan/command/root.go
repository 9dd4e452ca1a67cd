// Package command is the command line: it parses arguments, calls a node's API
// or starts one, and prints the outcome. It holds no logic of its own. main
// calls it, and tests do so as main does.
//
// Exit codes: 0 done, 1 not done, 2 the arguments make no sense, 3 the answer is no.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/cmd/lagan/config"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/client"
)

// The exit codes.
const (
	exitDone    = 0
	exitNotDone = 1
	exitUsage   = 2
	exitNo      = 3 // it was asked whether something is so, and it is not
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
	if errors.Is(err, errNo) {
		return exitNo
	}
	_, _ = fmt.Fprintf(s.Err, "lagan: %v\n", err) // there is nowhere else to say it
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitNotDone
}

// errNo is the answer to a question: what was printed says why.
var errNo = errors.New("no")

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
		Use:   "lagan",
		Short: "Replicated block volumes for containers",
		Long: `Replicated block volumes for containers.

Exit codes: 0 done, 1 not done, 2 the command or its settings make no sense,
3 the answer to what was asked is no (lagan node can-reboot).`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, arguments []string) error {
			if len(arguments) == 0 {
				return c.Help()
			}
			return unknown(c, arguments[0])
		},
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
	root.PersistentFlags().StringVarP(&s.output, "output", "o", asTable, "how to print: "+strings.Join(forms(), ", "))
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms(), cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		s.find()
		return s.checkOutput(c)
	}
	root.AddGroup(&cobra.Group{ID: "use", Title: "Volumes and the cluster:"}, &cobra.Group{ID: "run", Title: "This machine's node:"})
	for id, commands := range map[string][]*cobra.Command{ // any order: each goes to its group
		"use": {s.status(), s.volume(), s.replica(), s.snapshot(), s.operation(), s.node(), s.disk(), s.rebalance(), s.events(), s.token(), s.cluster()},
		"run": {s.up(), s.join(), s.down()},
	} {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	root.AddCommand(s.check(), s.sim(), s.version(), s.hold())
	return root
}

// find settles which node to talk to.
func (s *session) find() {
	if s.socket == "" {
		s.socket = cmp.Or(os.Getenv("LAGAN_SOCKET"), config.Socket(os.Getenv))
	}
}

// group is a command that is only there for others. What is not among those is
// refused.
func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs}
	c.AddCommand(commands...)
	c.RunE = func(c *cobra.Command, arguments []string) error {
		if len(arguments) == 0 {
			return c.Help()
		}
		return unknown(c, arguments[0])
	}
	return c
}

func unknown(c *cobra.Command, word string) error {
	var names []string
	for _, one := range c.Commands() {
		if one.IsAvailableCommand() {
			names = append(names, one.Name())
		}
	}
	if nearest := volume.Nearest(word, names); nearest != "" {
		return usageError{fmt.Errorf("there is no command %s %s: did you mean %s?", c.CommandPath(), word, nearest)}
	}
	return usageError{fmt.Errorf("there is no command %s %s: there are %s", c.CommandPath(), word, strings.Join(names, ", "))}
}

// exactly wants n arguments and says so as a matter of usage.
func exactly(n int) cobra.PositionalArgs { return between(n, n) }

func between(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, arguments []string) error {
		if n := len(arguments); n < least || n > most {
			return usageError{fmt.Errorf("%s given: write %s", plural(n, "argument is", "arguments are"), strings.TrimSuffix(c.UseLine(), " [flags]"))}
		}
		return nil
	}
}
