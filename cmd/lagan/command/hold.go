package command

import (
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/cmd/lagan/daemon"
)

// hold is for the daemon, which starts it: nobody else needs it.
func (s *session) hold() *cobra.Command {
	run, grace := "", time.Duration(0)
	c := &cobra.Command{
		Use: "hold", Short: "Keep devices while no daemon serves them", Args: exactly(0), Hidden: true,
		Long: `Keep devices while no daemon serves them. The daemon starts this when it has the first
device to show; it ends with the last one, or when no daemon came for too long.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return daemon.Hold(c.Context(), run, grace, slog.New(slog.NewTextHandler(s.Err, nil)))
		},
	}
	c.Flags().StringVar(&run, "run", "", "runtime directory of the daemon")
	c.Flags().DurationVar(&grace, "grace", 0, "how long devices wait for a daemon; 0: ten minutes")
	_ = c.MarkFlagRequired("run") // it exists
	return c
}
