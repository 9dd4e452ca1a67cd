package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) volumeCheck() *cobra.Command {
	wait := false
	c := &cobra.Command{
		Use: "check VOLUME", Short: "Compare the copies of a volume with each other", Args: exactly(1), ValidArgsFunction: s.volumeNames,
		Long: `Have the copies of a volume in sync compared by their checksums, those of its
snapshots included, while it goes on: the node that it is attached to does that. A
check that is under way goes on; to break it off: lagan operation cancel. It ends
when the volume is detached, and is not taken up by another node.

Nothing is repaired by it: which of two copies is right, nobody can tell by itself.
Blocks that differ are an event and an alert. With --wait they are shown.
Exit codes with --wait: 0 the copies are equal, 3 they are not, 1 nobody can tell.`,
		Example: "  lagan volume check db --wait",
		RunE: func(c *cobra.Command, arguments []string) error {
			o, err := s.client().CheckVolume(c.Context(), arguments[0], false)
			if err != nil {
				return err
			}
			if !wait {
				return s.print(o, func(w io.Writer) error { return operationTable(w, []api.Operation{o}) })
			}
			there, err := s.watchOperation(c.Context(), &o)
			switch {
			case err != nil:
				return err
			case !there:
				return fmt.Errorf("the check of volume %s was broken off: give the command again", o.Volume)
			case o.State == stateFailed && len(o.Differences) == 0:
				return fmt.Errorf("volume %s: %s", o.Volume, o.Reason)
			}
			if err := s.print(o, func(w io.Writer) error { return checkText(w, &o) }); err != nil || o.State != stateFailed {
				return err
			}
			return errNo
		},
	}
	waitFlag(c.Flags(), &wait, "all was compared, or that was broken off")
	return c
}

// checkText says what came of a check.
func checkText(w io.Writer, o *api.Operation) error {
	if len(o.Differences) == 0 {
		text := fmt.Sprintf("the copies of volume %s are equal: %s of each were compared", o.Volume, volume.RoundSize(o.Done))
		if o.Reason != "" {
			text = fmt.Sprintf("the copies of volume %s are equal in all that could be read: %s", o.Volume, o.Reason)
		}
		_, err := fmt.Fprintln(w, text)
		return err
	}
	var rows [][]string
	for _, d := range o.Differences {
		for _, c := range d.Copies {
			rows = append(rows, []string{fmt.Sprint(d.Offset), fmt.Sprint(d.Length), dash(d.Snapshot), c.Node, c.Checksum})
		}
	}
	if err := table(w, "OFFSET LENGTH SNAPSHOT NODE CHECKSUM", rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nvolume %s: %s\n", o.Volume, o.Reason)
	return err
}
