package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) volumeResize() *cobra.Command {
	size, wait := "", false
	c := &cobra.Command{
		Use: "resize NAME", Short: "Make a volume larger", Args: exactly(1), ValidArgsFunction: s.volumeNames,
		Long: `Make a volume larger, in use or not. Its device grows at once, and so does the file
system that is mounted from it; where this machine cannot do that, lagan volume
inspect says so and what to do. A volume that nobody uses grows within seconds, and
its file system when it is mounted next. No volume gets smaller.`,
		Example: "  lagan volume resize db --size 20GiB",
		RunE: func(c *cobra.Command, arguments []string) error {
			if size == "" {
				return usageError{fmt.Errorf("nothing to change: give --size, as in --size 20GiB")}
			}
			if _, err := volume.ParseSize(size); err != nil {
				return usageError{err}
			}
			v, err := s.client().Set(c.Context(), arguments[0], map[string]string{"size": size})
			if err == nil && wait {
				v, err = s.await(c.Context(), v.ID, isLarger)
			}
			if err != nil {
				return err
			}
			return s.print(v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "volume %s: %s\n", v.Name, sizeDetails(&v))
				return err
			})
		},
	}
	c.Flags().StringVar(&size, "size", "", "what it is to have, as in 20GiB")
	waitFlag(c.Flags(), &wait, "it has that size")
	return c
}

// isLarger reports whether a volume has the size that was asked for.
func isLarger(v *api.Volume) bool { return v.Status.Size >= v.Spec.Size }
