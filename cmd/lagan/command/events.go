package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/rest/api"
)

// eventsPage is how many events are asked for at once.
const eventsPage = 1000

func (s *session) events() *cobra.Command {
	follow := false
	var after uint64
	c := hasNoNames(&cobra.Command{
		Use: "events", Short: "Show what happened in the cluster, as the node saw it since it was started", Args: exactly(0),
		Long: `Show what happened in the cluster, as the node saw it since it was started,
oldest first. With -o json and --follow each event is one line.`,
		Example: "  lagan events\n  lagan events -f -o json | jq --unbuffered .text",
	})
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens, until it is broken off")
	c.Flags().Uint64Var(&after, "after", 0, "leave out the events up to this number")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if follow {
			return s.follow(c.Context(), after)
		}
		var all []api.Event
		for {
			some, err := s.client().Events(c.Context(), after, eventsPage)
			if err != nil {
				return err
			}
			if len(some) == 0 {
				break
			}
			all, after = append(all, some...), some[len(some)-1].Number
		}
		return s.print(all, func(w io.Writer) error {
			for i := range all {
				if err := printEvent(w, &all[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c
}

// follow prints events as they happen. Being broken off is how it ends.
func (s *session) follow(ctx context.Context, after uint64) error {
	err := s.client().Follow(ctx, after, func(e api.Event) error {
		return s.printOne(e, func(w io.Writer) error { return printEvent(w, &e) })
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// printEvent writes an event as a line. What comes next is not known, so there
// are no columns but those of a fixed width.
func printEvent(w io.Writer, e *api.Event) error {
	_, err := fmt.Fprintf(w, "%s  %-16s %s\n", e.Time.Local().Format(time.DateTime), e.Kind, cmp.Or(e.Text, e.Volume, e.Node, e.Disk))
	return err
}
