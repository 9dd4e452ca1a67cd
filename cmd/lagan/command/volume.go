package command

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) volume() *cobra.Command {
	c := group("volume", "Make, use and delete volumes",
		s.volumeCreate(), s.volumeList(), s.volumeInspect(), s.volumeRemove(), s.volumeAttach(), s.volumeDetach(),
		s.volumeMount(), s.volumeUnmount(), s.volumeExport(), s.volumeUnexport(), s.volumeRead(), s.volumeWrite(), s.volumeClone(), s.volumeSet(), s.volumeResize(), s.volumeRecover(),
		s.volumeExplain(), s.volumeCheck(),
	)
	c.Aliases = []string{"vol"}
	return c
}

func (s *session) volumeCreate() *cobra.Command {
	dryRun, wait := false, false
	c := &cobra.Command{
		Use: "create NAME", Short: "Create a volume, or take the one that is as asked for", Args: exactly(1),
		Example: `  lagan volume create db --size 10GiB --replicas 2 --fs ext4
  lagan volume create db --size 10GiB --labels disk=ssd --dry-run`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	// The node judges the values: one parser serves all faces.
	f := c.Flags()
	f.SortFlags = false
	options := pflag.NewFlagSet("options", pflag.ContinueOnError)
	options.SortFlags = false
	options.String("size", "", "size, as in 10GiB (the default)")
	options.String("replicas", "", "number of copies (default 2, or 1 where only one node has disks)")
	options.String("min-writable", "", minWritableHelp)
	options.String("fs", "", "ext4 (the default), xfs or none")
	options.String("nodes", "", "nodes that may have copies, as in a,b,c")
	options.String("zones", "", "zones that may have copies")
	options.String("labels", "", "labels, as in app=shop,tier=db")
	options.String("mount-options", "", "options of mount, as in noatime")
	options.String("preempt", "", "true: a container engine that mounts it takes it from the node that has it")
	options.String("parent", "", "volume, or VOLUME@SNAPSHOT, that it is a clone of")
	options.String("snapshot-schedule", "", scheduleHelp)
	f.AddFlagSet(options)
	f.BoolVar(&dryRun, "dry-run", false, "only say for each node why it would have a copy or not")
	waitFlag(f, &wait, "all its copies are in sync")
	_ = c.RegisterFlagCompletionFunc("fs", cobra.FixedCompletions([]string{"ext4", "xfs", "none"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	c.RunE = func(c *cobra.Command, arguments []string) error {
		given := map[string]string{}
		c.Flags().Visit(func(flag *pflag.Flag) {
			if options.Lookup(flag.Name) != nil {
				given[strings.ReplaceAll(flag.Name, "-", "_")] = flag.Value.String()
			}
		})
		v, err := s.client().Create(c.Context(), arguments[0], given, dryRun)
		if err != nil {
			return err
		}
		if wait && !dryRun {
			placement := v.Placement
			if v, err = s.await(c.Context(), v.ID, isHealthy); err != nil {
				return err
			}
			v.Placement = placement
		}
		return s.print(v, func(w io.Writer) error {
			for _, line := range v.Placement {
				if _, err := fmt.Fprintln(w, line); err != nil {
					return err
				}
			}
			if dryRun {
				return nil
			}
			content := v.Spec.FS
			if content == "none" {
				content = "no file system"
			}
			_, err := fmt.Fprintf(w, "volume %s: %s, %s, %s on %s\n", v.Name, volume.FormatSize(v.Spec.Size), content,
				plural(v.Spec.Replicas, "copy", "copies"), strings.Join(nodesOf(&v), ", "))
			return err
		})
	}
	return c
}

func (s *session) volumeList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List volumes", Aliases: []string{"list"}, Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := s.client().Volumes(c.Context())
			if err != nil {
				return err
			}
			return s.print(all, func(w io.Writer) error { return s.volumeTable(w, all) })
		},
	}
}

func (s *session) volumeInspect() *cobra.Command {
	return &cobra.Command{
		Use: "inspect NAME", Short: "Show all that is known of a volume: its copies and who uses it", Args: exactly(1), ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			v, err := s.client().Volume(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			return s.print(v, func(w io.Writer) error { return volumeDetails(w, &v) })
		},
	}
}

func (s *session) volumeRemove() *cobra.Command {
	wait, snapshots := false, false
	c := &cobra.Command{
		Use: "rm NAME", Short: "Delete a volume and its data", Aliases: []string{"remove", "delete"}, Args: exactly(1),
		ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			remove := s.client().Delete
			if snapshots {
				remove = s.client().DeleteAll
			}
			if !wait {
				return remove(c.Context(), arguments[0])
			}
			v, err := s.client().Volume(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			if err := remove(c.Context(), v.ID); err != nil {
				return err
			}
			_, err = s.await(c.Context(), v.ID, nil)
			return err
		},
	}
	c.Flags().BoolVar(&snapshots, "snapshots", false, "delete its snapshots, too; what was cloned from them stays")
	waitFlag(c.Flags(), &wait, "the space of all its copies is free, which a node that is down puts off")
	return c
}

func (s *session) volumeAttach() *cobra.Command {
	var request api.Attach
	noDevice, wait := false, false
	c := &cobra.Command{
		Use: "attach NAME", Short: "Have this node serve a volume and show it as a block device", Args: exactly(1),
		ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			request.Device = !noDevice
			v, err := s.client().Attach(c.Context(), arguments[0], request)
			if err == nil && wait {
				v, err = s.await(c.Context(), v.ID, isHealthy)
			}
			if err != nil {
				return err
			}
			return s.print(v, func(w io.Writer) error {
				if a := v.Status.Attachment; a != nil && a.Device != "" {
					_, err := fmt.Fprintln(w, a.Device)
					return err
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&request.Force, "force", false, "take it from the node that holds it")
	c.Flags().BoolVar(&noDevice, "no-device", false, "do not show it as a block device: for lagan volume read and write")
	waitFlag(c.Flags(), &wait, "all copies are in sync; it can be used before that")
	return c
}

func (s *session) volumeDetach() *cobra.Command {
	force := false
	c := &cobra.Command{
		Use: "detach NAME", Short: "End the use of a volume on this node", Args: exactly(1), ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.client().Detach(c.Context(), arguments[0], force)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "at once, whoever uses it: what was not flushed may be lost")
	return c
}

func (s *session) volumeMount() *cobra.Command {
	var request api.Attach
	c := &cobra.Command{
		Use: "mount NAME DIRECTORY", Short: "Attach a volume and mount its file system, made at the first time", Args: exactly(2),
		Example: "  lagan volume mount db /mnt/db", ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) (err error) {
			if request.Mount, err = filepath.Abs(arguments[1]); err != nil {
				return fmt.Errorf("mount point: %w", err)
			}
			v, err := s.client().Attach(c.Context(), arguments[0], request)
			if err != nil {
				return err
			}
			return s.print(v, func(io.Writer) error { return nil })
		},
	}
	c.Flags().BoolVar(&request.Force, "force", false, "take it from the node that holds it")
	return c
}

func (s *session) volumeUnmount() *cobra.Command {
	return &cobra.Command{
		Use: "unmount NAME [DIRECTORY]", Short: "Unmount a volume, and detach what mounting had attached", Aliases: []string{"umount"}, Args: between(1, 2),
		ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) (err error) {
			target := ""
			if len(arguments) == 2 {
				if target, err = filepath.Abs(arguments[1]); err != nil {
					return fmt.Errorf("mount point: %w", err)
				}
			}
			return s.client().Unmount(c.Context(), arguments[0], target)
		},
	}
}

func (s *session) volumeRead() *cobra.Command {
	var offset, length string
	c := &cobra.Command{
		Use: "read NAME", Short: "Copy blocks of a volume that this node serves to standard output", Args: exactly(1),
		Example: "  lagan volume read db --offset 1MiB --length 64KiB | sha256sum", ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			from, err := volume.ParseSize(offset)
			if err != nil {
				return usageError{err}
			}
			count, err := volume.ParseSize(length)
			if err != nil {
				return usageError{err}
			}
			return s.client().ReadBlocks(c.Context(), arguments[0], from, count, s.Out)
		},
	}
	c.Flags().StringVar(&offset, "offset", "0", "where to begin, in bytes or as in 1MiB")
	c.Flags().StringVar(&length, "length", "4KiB", "how much to read")
	return c
}

func (s *session) volumeWrite() *cobra.Command {
	var offset string
	c := hasNoNames(&cobra.Command{
		Use: "write NAME", Short: "Store standard input in blocks of a volume that this node serves, durably", Args: exactly(1),
		Example: "  lagan volume write db --offset 1MiB < image", ValidArgsFunction: s.volumeNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			from, err := volume.ParseSize(offset)
			if err != nil {
				return usageError{err}
			}
			written, err := s.client().WriteBlocks(c.Context(), arguments[0], from, s.In)
			if err != nil {
				return err
			}
			return s.print(api.Written{Bytes: written}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%d bytes are durable\n", written)
				return err
			})
		},
	})
	c.Flags().StringVar(&offset, "offset", "0", "where to begin, in bytes or as in 1MiB")
	return c
}
