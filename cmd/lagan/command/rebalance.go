package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) rebalance() *cobra.Command {
	spread, dryRun, wait := 0, false, false
	c := &cobra.Command{
		Use: "rebalance", Short: "Have copies moved from the fullest disks to the emptiest ones", Args: exactly(0),
		Long: `Have copies moved from the fullest disks to the emptiest ones, until what they promise
to volumes, of what they have, differs by at most so many points of a hundred. Four
volumes are moved at a time, and no volume has fewer copies meanwhile. It goes on
whichever node dies; lagan operation ls says how far it is. To break it off, so that
only what is on its way arrives: lagan operation cancel rebalance.`,
		Example: `  lagan rebalance --dry-run
  lagan rebalance --spread 5 --wait`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := volume.CheckSpread(spread); err != nil {
				return usageError{err}
			}
			if dryRun && wait {
				return usageError{fmt.Errorf("--wait: with --dry-run nothing is moved that could be waited for")}
			}
			b, err := s.client().Rebalance(c.Context(), spread, dryRun)
			if err == nil && wait && b.Operation != "" {
				err = s.awaitOperation(c.Context(), &api.Operation{ID: b.Operation})
			}
			if err != nil {
				return err
			}
			return s.print(b, func(w io.Writer) error { return balanceTable(w, &b) })
		},
	}
	c.Flags().IntVar(&spread, "spread", volume.SpreadDefault, "points of a hundred that disks may differ by")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be moved, and why")
	waitFlag(c.Flags(), &wait, "it is done")
	return hasNoNames(c)
}

// balanceTable writes what is to be moved, if anything is, and what cannot be.
func balanceTable(w io.Writer, b *api.Balance) error {
	if len(b.Moves) > 0 {
		rows := make([][]string, 0, len(b.Moves))
		for i := range b.Moves {
			m := &b.Moves[i]
			rows = append(rows, []string{m.Volume, m.FromNode, m.ToNode, volume.RoundSize(m.Bytes), m.Why})
		}
		if err := table(w, "VOLUME FROM TO SIZE WHY", rows); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintln(w, nothingToMove(b)); err != nil {
		return err
	}
	for _, line := range b.Stuck {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

func nothingToMove(b *api.Balance) string {
	if len(b.Stuck) > 0 {
		return "nothing can be moved:"
	}
	if b.Fullest <= b.Emptiest {
		return "there is nothing to move: no disk that copies may come to is emptier than another"
	}
	return fmt.Sprintf("there is nothing to move: disks are promised by %d to %d %%, which may differ by %d points", b.Emptiest, b.Fullest, b.Spread)
}
