package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) volumeExport() *cobra.Command {
	force := false
	c := &cobra.Command{
		Use: "export NAME[@SNAPSHOT]", Short: "Make a volume, or a snapshot of it, reachable for block clients (NBD)", Args: exactly(1),
		Long: `Have this node serve a volume to block clients, such as qemu, nbdcopy or fio, and
print where they find it. The volume is attached to this node for that, without a
device. A snapshot can only be read. The export ends with lagan volume unexport, when
the volume is detached or taken by another node, and with the daemon.`,
		Example: `  lagan volume export db
  nbdcopy "$(lagan volume export db@monday)" backup.img`,
		ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			name, snapshot, err := exported(arguments[0])
			if err != nil {
				return err
			}
			e, err := s.client().Export(c.Context(), name, snapshot, force)
			if err != nil {
				return err
			}
			return s.print(e, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, e.Uris[0])
				return err
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "take it from the node that holds it")
	return c
}

func (s *session) volumeUnexport() *cobra.Command {
	force := false
	c := &cobra.Command{
		Use: "unexport NAME[@SNAPSHOT]", Short: "End that, and detach what exporting had attached", Args: exactly(1), ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			name, snapshot, err := exported(arguments[0])
			if err != nil {
				return err
			}
			return s.client().Unexport(c.Context(), name, snapshot, force)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "cut off clients that are connected: what they did not flush may be lost")
	return c
}

// exported takes VOLUME or VOLUME@SNAPSHOT apart.
func exported(text string) (name, snapshot string, err error) {
	name, snapshot = volume.SplitParent(text)
	if snapshot == "" && name != text {
		return "", "", usageError{fmt.Errorf("%s names no snapshot: leave the @ out for the volume itself", text)}
	}
	return name, snapshot, nil
}

// exportDetails says what block clients can use, and how many do.
func exportDetails(all []api.Export) (pairs [][2]string) {
	for i := range all {
		for k, uri := range all[i].Uris {
			if k == 0 {
				uri += ", " + plural(all[i].Clients, "connection", "connections")
			}
			pairs = append(pairs, [2]string{"Export", uri})
		}
	}
	return pairs
}
