package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) snapshot() *cobra.Command {
	c := group("snapshot", "Keep what volumes were, and go back to it",
		s.snapshotCreate(), s.snapshotList(), s.snapshotRemove(), s.snapshotRestore())
	c.Aliases = []string{"snap"}
	return c
}

func (s *session) snapshotCreate() *cobra.Command {
	freeze := true
	c := &cobra.Command{
		Use: "create VOLUME [SNAPSHOT]", Short: "Take a snapshot of a volume", Args: between(1, 2), ValidArgsFunction: s.volumeNames,
		Long: `Take a snapshot of a volume, attached or not. Without a name it is called after
the time. One of that name which is there already is not taken again. When the
command returns, the snapshot is durable on all copies.`,
		Example: "  lagan snapshot create db monday",
		RunE: func(c *cobra.Command, arguments []string) error {
			name := volume.NameAt("snapshot", time.Now())
			if len(arguments) == 2 {
				name = arguments[1]
			}
			snapshot, taken, err := s.client().TakeSnapshot(c.Context(), arguments[0], name, freeze)
			if err != nil {
				return err
			}
			return s.print(snapshot, func(w io.Writer) error {
				what := "taken"
				if !taken {
					what = "there since " + snapshot.Created
				}
				_, err := fmt.Fprintf(w, "snapshot %s of volume %s: %s\n", snapshot.Name, snapshot.Volume, what)
				return err
			})
		},
	}
	c.Flags().BoolVar(&freeze, "freeze", true, "freeze its file system meanwhile, where it is mounted: it is clean in the snapshot then")
	return c
}

func (s *session) snapshotList() *cobra.Command {
	return &cobra.Command{
		Use: "ls VOLUME", Short: "List the snapshots of a volume, oldest first", Aliases: []string{"list"}, Args: exactly(1),
		ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			all, err := s.client().Snapshots(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			return s.print(all, func(w io.Writer) error { return s.snapshotTable(w, all) })
		},
	}
}

func (s *session) snapshotTable(w io.Writer, all []api.Snapshot) error {
	header := "SNAPSHOT STATE CREATED BY USED EXCLUSIVE"
	if s.wide() {
		header += " SHARED SIZE ID"
	}
	var rows [][]string
	for i := range all {
		one := &all[i]
		by, note := "hand", one.Problem
		if one.Rule != "" {
			by = one.Rule
		}
		if one.Restores != "" {
			note = "the volume went back to " + one.Restores + " then"
		}
		if len(one.Cloning) > 0 {
			note = "is being cloned to " + strings.Join(one.Cloning, ", ")
		}
		used := usageColumns(one.Usage)
		row := []string{one.Name, one.State, one.Created, by, used[0], used[1]}
		if s.wide() {
			row = append(row, used[2], volume.FormatSize(one.Size), one.ID)
		}
		rows = append(rows, append(row, note))
	}
	return table(w, header+" NOTE", rows)
}

func (s *session) snapshotRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm VOLUME SNAPSHOT", Short: "Delete a snapshot", Aliases: []string{"remove", "delete"}, Args: exactly(2),
		ValidArgsFunction: s.snapshotNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.client().DeleteSnapshot(c.Context(), arguments[0], arguments[1])
		},
	}
}

func (s *session) snapshotRestore() *cobra.Command {
	discard := false
	c := hasNoNames(&cobra.Command{
		Use: "restore VOLUME SNAPSHOT", Short: "Have a volume that nobody uses go back to a snapshot", Args: exactly(2),
		ValidArgsFunction: s.snapshotNames,
		Long: `Have a volume go back to what it was when a snapshot was taken. Nobody may use it
meanwhile. What it is now is kept as another snapshot. To look at a snapshot
beside the volume, clone it: lagan volume clone VOLUME@SNAPSHOT NEW.`,
		Example: "  lagan snapshot restore db monday",
		RunE: func(c *cobra.Command, arguments []string) error {
			restored, err := s.client().Restore(c.Context(), arguments[0], arguments[1], discard)
			if err != nil {
				return err
			}
			return s.print(restored, func(w io.Writer) error {
				text := fmt.Sprintf("volume %s is what snapshot %s is", arguments[0], arguments[1])
				if restored.Kept != "" {
					text += "; what it was before is snapshot " + restored.Kept
				}
				_, err := fmt.Fprintln(w, text)
				return err
			})
		},
	})
	c.Flags().BoolVar(&discard, "discard", false, "do not keep what the volume is now")
	return c
}

func (s *session) volumeClone() *cobra.Command {
	size, replicas := "", ""
	c := &cobra.Command{
		Use: "clone VOLUME[@SNAPSHOT] NEW", Short: "Create a volume that begins as what another one, or a snapshot of it, is", Args: exactly(2),
		Long: `Create a volume that begins as what another one is now, or was when a snapshot was
taken. It is there at once: nothing is copied, and both share what neither changes.
Its copies are on the disks that have those of the other one.`,
		Example: `  lagan volume clone db@monday db-test
  lagan volume clone db db-test`,
		ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			options := map[string]string{"parent": arguments[0]}
			for key, value := range map[string]string{"size": size, "replicas": replicas} { // any order: into another map
				if value != "" {
					options[key] = value
				}
			}
			v, err := s.client().Create(c.Context(), arguments[1], options, false)
			if err != nil {
				return err
			}
			return s.print(v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "volume %s: a clone of %s, %s, %s on %s\n", v.Name, arguments[0], volume.FormatSize(v.Spec.Size),
					plural(v.Spec.Replicas, "copy", "copies"), strings.Join(nodesOf(&v), ", "))
				return err
			})
		},
	}
	c.Flags().StringVar(&size, "size", "", "size, at least that of the other one (the default)")
	c.Flags().StringVar(&replicas, "replicas", "", "number of copies (default as many as the other one has)")
	return c
}

func (s *session) volumeSet() *cobra.Command {
	schedule, replicas, least, wait := "", "", "", false
	c := &cobra.Command{
		Use: "set NAME", Short: "Change a volume's options", Args: exactly(1), ValidArgsFunction: s.volumeNames,
		Example: `  lagan volume set db --replicas 3
  lagan volume set db --snapshot-schedule every=60m/24+daily=12:00/7
  lagan volume set db --snapshot-schedule none`,
		RunE: func(c *cobra.Command, arguments []string) error {
			options := map[string]string{}
			for flag, value := range map[string]string{"snapshot-schedule": schedule, "replicas": replicas, "min-writable": least} { // any order: into another map
				if c.Flags().Changed(flag) {
					options[strings.ReplaceAll(flag, "-", "_")] = value
				}
			}
			if len(options) == 0 {
				return usageError{fmt.Errorf("nothing to change: give --replicas, --min-writable or --snapshot-schedule")}
			}
			v, err := s.client().Set(c.Context(), arguments[0], options)
			if err == nil && wait {
				v, err = s.await(c.Context(), v.ID, isPlaced)
			}
			if err != nil {
				return err
			}
			return s.print(v, func(w io.Writer) error { return volumeDetails(w, &v) })
		},
	}
	c.Flags().StringVar(&replicas, "replicas", "", "number of copies, changed while the volume goes on")
	c.Flags().StringVar(&least, "min-writable", "", minWritableHelp)
	scheduleFlag(c, &schedule)
	waitFlag(c.Flags(), &wait, "the copies are as many, and in sync")
	return c
}

func scheduleFlag(c *cobra.Command, into *string) {
	c.Flags().StringVar(into, "snapshot-schedule", "", scheduleHelp)
}

const minWritableHelp = "copies that must be in sync for a write; with fewer, reads go on and writes wait (default 1)"

const scheduleHelp = "when snapshots are taken, in UTC, and how many are kept, as in every=60m/24+daily=12:00/7+weekly=sun@12:00/5+monthly=15@12:00/12, or none"

func (s *session) operation() *cobra.Command {
	return group("operation", "See what takes a while, and break it off",
		&cobra.Command{
			Use: "ls", Short: "List what is under way: snapshots, deletions, copies that come, go or are filled, scrubs, checks", Aliases: []string{"list"}, Args: exactly(0),
			RunE: func(c *cobra.Command, _ []string) error {
				all, err := s.client().Operations(c.Context())
				if err != nil {
					return err
				}
				return s.print(all, func(w io.Writer) error { return operationTable(w, all) })
			},
		},
		&cobra.Command{
			Use: "cancel ID", Short: "Break off an operation that can be broken off", Args: exactly(1), ValidArgsFunction: s.operationIDs,
			RunE: func(c *cobra.Command, arguments []string) error {
				return s.client().Cancel(c.Context(), arguments[0])
			},
		},
	)
}

func operationTable(w io.Writer, all []api.Operation) error {
	var rows [][]string
	for i := range all {
		o := &all[i]
		progress := ""
		if o.Done > 0 || o.Total > 0 {
			progress = howFar(o.Done, o.Total, o.Rate, o.SecondsLeft)
		}
		rows = append(rows, []string{o.ID, o.Kind, dash(o.Volume), dash(o.Snapshot), dash(o.Node), o.State, dash(progress), dash(o.Since), o.Reason})
	}
	return table(w, "OPERATION KIND VOLUME SNAPSHOT NODE STATE DONE SINCE REASON", rows)
}

// snapshotNames completes a volume, and then one of its snapshots.
func (s *session) snapshotNames(c *cobra.Command, arguments []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(arguments) != 1 {
		return s.volumeNames(c, arguments, begun)
	}
	return s.oneOf(func(ctx context.Context) ([]string, error) {
		all, err := s.client().Snapshots(ctx, arguments[0])
		return namesOf(all), err
	})(c, nil, begun)
}

func (s *session) operationIDs(c *cobra.Command, arguments []string, begun string) ([]string, cobra.ShellCompDirective) {
	return s.oneOf(func(ctx context.Context) ([]string, error) {
		all, err := s.client().Operations(ctx)
		return namesOf(all), err
	})(c, arguments, begun)
}
