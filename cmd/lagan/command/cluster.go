package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/cmd/lagan/config"
	"github.com/lagan-storage/lagan/cmd/lagan/daemon"
	"github.com/lagan-storage/lagan/transport/etcd"
)

func (s *session) cluster() *cobra.Command {
	return group("cluster", "Back the cluster's records up, and restore them", s.clusterBackup(), s.clusterRestore(), s.clusterRejoin())
}

func (s *session) clusterBackup() *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Copy the cluster's records to a file", Args: exactly(1),
		Long: `Copy the records of the cluster to a file: nodes, disks, volumes, and where their
copies are. No data of volumes is in it. The file is of one moment, with a checksum
at its end, and is not overwritten. Whoever has it can be any node of the cluster:
keep it where nobody else reads it.

Only for records in the nodes' own store. An etcd that you run is backed up by
etcdctl snapshot save.`,
		Example: "  lagan cluster backup /root/lagan-$(date +%F).backup",
		RunE: func(c *cobra.Command, arguments []string) error {
			return backUp(arguments[0], func(w io.Writer) error { return s.client().BackupCluster(c.Context(), w) })
		},
	}
}

// backUp has the file at path when it is whole, and else not at all.
func backUp(path string, copyTo func(io.Writer) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s exists and is not overwritten: choose another name", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part") // readable by its owner alone
	if err != nil {
		return fmt.Errorf("make the backup: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreMissing(os.Remove(f.Name()))) }()
	if err := errors.Join(copyTo(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := etcd.CheckBackup(f.Name()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil { // unlike a rename it overwrites nothing
		return fmt.Errorf("make the backup: %w", err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (s *session) clusterRestore() *cobra.Command {
	settings := config.New()
	c := hasNoNames(&cobra.Command{
		Use: "restore FILE", Short: "Make the cluster's records anew from a backup, on this stopped node", Args: exactly(1),
		Long: `Make the cluster's records anew from a backup, on a node that does not run: because
the majority of the voters is lost for good, or what they had is. This node is the
only voter then; it keeps its name, its disks and their data. What it had of the
records is put aside. Only nodes that the backup knows can do this, and one is enough.

Stop all other nodes first. Then start this one with lagan up, and on each other:
  lagan cluster rejoin HOST:7303     the client port of this node's store
  lagan up

What happened to volumes after the backup is not in it. So a volume is used again
only when each of its copies was heard, and none knows of anything newer. One that is
found to be newer than its record is refused (config-regressed) until you say which
copy is to be believed: lagan volume recover. Volumes created since are gone from the
records, and volumes deleted since are back without data.`,
		Example: "  lagan down\n  lagan cluster restore /root/lagan-2026-12-01.backup\n  lagan up",
		RunE: func(c *cobra.Command, arguments []string) error {
			if err := s.stopped(c, settings); err != nil {
				return err
			}
			r, err := daemon.Restore(c.Context(), settings.Node, arguments[0], time.Now(), settings.Logger(s.Err))
			if err != nil {
				return err
			}
			out := &lines{w: s.Out}
			out.add("restored: %s; this node votes alone. Start it:  lagan up", plural(r.Volumes, "volume", "volumes"))
			if len(r.Others) > 0 {
				out.add("on each of %s, while it is stopped:  lagan cluster rejoin %s  and then  lagan up", strings.Join(r.Others, ", "), r.Address)
			}
			return out.err
		},
	})
	settings.Flags(c.Flags())
	return c
}

func (s *session) clusterRejoin() *cobra.Command {
	settings := config.New()
	c := hasNoNames(&cobra.Command{
		Use: "rejoin HOST:PORT", Short: "Have this stopped node follow records that were restored on another one", Args: exactly(1),
		Long: `Have this node, which does not run, follow the cluster's records that were restored on
another node: HOST:PORT is where that one's store listens for clients, 7303 unless
something else was asked for. What this node had of the lost records is discarded; its
name, its disks and their data stay. Then start it with lagan up.`,
		Example: "  lagan cluster rejoin 10.0.0.1:7303\n  lagan up",
		RunE: func(c *cobra.Command, arguments []string) error {
			if err := s.stopped(c, settings); err != nil {
				return err
			}
			return daemon.Rejoin(settings.Node, arguments[0])
		},
	})
	settings.Flags(c.Flags())
	return c
}

// stopped completes the settings of a node that does not run by what it remembers.
func (s *session) stopped(c *cobra.Command, settings *config.Config) error {
	if err := settings.Load(os.Getenv); err != nil {
		return usageError{err}
	}
	return s.settleKnown(c.Context(), settings)
}
