package command

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *session) disk() *cobra.Command {
	return group("disk", "See, add and remove disks, and look into them", s.diskLs(), s.diskInspect(), s.diskAdd(), s.diskRm(), s.diskScrub(),
		s.diskCordon("cordon", "Keep new copies away from a disk", true),
		s.diskCordon("uncordon", "Let new copies come to a disk again", false), s.diskFsck(), s.diskDump())
}

func (s *session) diskLs() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List disks", Aliases: []string{"list"}, Args: exactly(0),
		Example: "  lagan disk ls -o wide",
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := s.client().Disks(c.Context())
			if err != nil {
				return err
			}
			return s.print(all, func(w io.Writer) error { return s.diskTable(w, all) })
		},
	}
}

func (s *session) diskInspect() *cobra.Command {
	return &cobra.Command{
		Use: "inspect ID", Short: "Show all that is known of a disk", Args: exactly(1), ValidArgsFunction: s.diskNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			daemon := s.client()
			d, err := daemon.Disk(c.Context(), arguments[0])
			if err != nil {
				return err
			}
			return s.print(d, func(w io.Writer) error {
				volumes, err := daemon.Volumes(c.Context())
				if err != nil {
					return err
				}
				return diskDetails(w, &d, volumes)
			})
		},
	}
}

func (s *session) diskAdd() *cobra.Command {
	var d api.NewDisk
	var size string
	c := &cobra.Command{
		Use: "add PATH", Short: "Give a node that runs a disk", Args: exactly(1),
		Long: `Give a node that runs a disk: a block device, or a file, which is made if --size
says how large. Every later start of the node opens it. A device that is in use or
carries anything is refused; --wipe has what it carries erased.`,
		Example: "  lagan disk add /dev/sdc\n  lagan disk add /srv/pool --size 100GiB --node b",
		RunE: func(c *cobra.Command, arguments []string) (err error) {
			d.Path = arguments[0]
			if size != "" {
				if d.Size, err = volume.ParseSize(size); err != nil {
					return usageError{err}
				}
			}
			switch absolute := filepath.IsAbs(d.Path); {
			case !absolute && d.Node != "":
				return usageError{fmt.Errorf("path %s: give the whole path on node %s", d.Path, d.Node)}
			case !absolute:
				if d.Path, err = filepath.Abs(d.Path); err != nil {
					return err
				}
			}
			added, err := s.client().AddDisk(c.Context(), d)
			if err != nil {
				return err
			}
			return s.print(added, func(w io.Writer) error { return s.diskTable(w, []api.Disk{added}) })
		},
	}
	f := c.Flags()
	f.StringVar(&size, "size", "", "make a file of this size, as in 100GiB")
	f.StringVar(&d.Node, "node", "", "node that gets the disk (default this one)")
	f.BoolVar(&d.Wipe, "wipe", false, "erase what the disk carries: it cannot be brought back")
	_ = c.RegisterFlagCompletionFunc("node", s.nodeNames) // the flag exists
	return c
}

func (s *session) diskRm() *cobra.Command {
	return &cobra.Command{
		Use: "rm ID", Short: "Take a disk without copies out of the cluster", Aliases: []string{"remove"},
		Args: exactly(1), ValidArgsFunction: s.diskNames,
		Long: `Take a disk without copies out of the cluster. It is cordoned first, and stays so
if it still holds copies of volumes, which are named then. The node closes it and
opens it no more, even if it is started with it; what is on it is left there.`,
		Example: "  lagan disk rm 00112233",
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.client().RemoveDisk(c.Context(), arguments[0])
		},
	}
}

func (s *session) diskScrub() *cobra.Command {
	wait := false
	c := &cobra.Command{
		Use: "scrub ID", Short: "Read all that is on a disk, and have what is damaged repaired", Args: exactly(1), ValidArgsFunction: s.diskNames,
		Long: `Have all that is on a disk read and compared with its checksums, in the background:
requests of volumes go first, and --scrub-rate of its node bounds it. What is
damaged is repaired from other copies and reported as an event. A scrub that is
under way goes on. To break it off: lagan operation cancel.`,
		Example: "  lagan disk scrub 00112233 --wait",
		RunE: func(c *cobra.Command, arguments []string) error {
			o, err := s.client().ScrubDisk(c.Context(), arguments[0])
			if err == nil && wait {
				err = s.awaitOperation(c.Context(), &o)
			}
			if err != nil {
				return err
			}
			return s.print(o, func(w io.Writer) error {
				if wait {
					_, err := fmt.Fprintf(w, "the scrub of disk %s is over; on node %s:  lagan disk inspect %s\n", o.Disk, o.Node, o.Disk)
					return err
				}
				return operationTable(w, []api.Operation{o})
			})
		},
	}
	waitFlag(c.Flags(), &wait, "all of it was read, or that was broken off")
	return c
}

func (s *session) diskCordon(use, short string, cordoned bool) *cobra.Command {
	return &cobra.Command{
		Use: use + " ID", Short: short, Args: exactly(1), ValidArgsFunction: s.diskNames,
		RunE: func(c *cobra.Command, arguments []string) error {
			d, err := s.client().CordonDisk(c.Context(), arguments[0], cordoned)
			if err != nil {
				return err
			}
			return s.print(d, func(w io.Writer) error { return s.diskTable(w, []api.Disk{d}) })
		},
	}
}

// diskState is how a disk is, in words.
func diskState(d *api.Disk) string {
	switch {
	case d.Problem != "":
		return d.Problem
	case d.Ailing != "":
		return "serves, but is not well: " + d.Ailing
	case d.Cordoned:
		return "serves, cordoned"
	}
	return "serves"
}

func (s *session) diskTable(w io.Writer, all []api.Disk) error {
	header := "DISK NODE PATH CAPACITY FREE PROMISED"
	if s.wide() {
		header += " READS MEAN WRITES MEAN SYNCS MEAN ERRORS"
	}
	var rows [][]string
	for i := range all {
		d := &all[i]
		row := []string{d.ID, d.Node, dash(d.Path), volume.RoundSize(d.Capacity), volume.RoundSize(d.Free), volume.RoundSize(d.Promised)}
		if s.wide() {
			row = append(row, workColumns(d.Work)...)
		}
		rows = append(rows, append(row, diskState(d)))
	}
	return table(w, header+" STATE", rows)
}

// workColumns is what a disk has done, in columns; another node's is not known.
func workColumns(work *api.DiskWork) (columns []string) {
	if work == nil {
		return slices.Repeat([]string{"-"}, 7)
	}
	errors := uint64(0)
	for _, o := range []api.DiskOperations{work.Reads, work.Writes, work.Syncs} {
		columns = append(columns, fmt.Sprint(o.Count), took(o.MeanSeconds))
		errors += o.Errors
	}
	return append(columns, fmt.Sprint(errors))
}

func took(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Microsecond).String()
}

// scrubDetails says how the scrub of a disk goes, or went.
func scrubDetails(s *api.DiskScrub) [][2]string {
	if s == nil {
		return nil
	}
	found := plural(s.DamagedChunks, "damaged chunk", "damaged chunks")
	pairs := [][2]string{{"Scrubbed", s.Ended}, {"Next scrub", s.Next}}
	switch {
	case s.Running:
		pairs = append(pairs, [2]string{"Scrub", fmt.Sprintf("%s of %s since %s, %s", volume.RoundSize(s.Done), volume.RoundSize(s.Total), s.Began, found)})
	case s.Ended != "":
		pairs[0][1] += ", " + found
	}
	return pairs
}

// promisedDetails is what a disk has promised to volumes, and what it may.
func promisedDetails(d *api.Disk) string {
	text := volume.RoundSize(d.Promised) + " to volumes"
	if d.PromiseMax > 0 {
		text += ", of " + volume.RoundSize(d.PromiseMax) + " that it may promise"
	}
	return text
}

// diskDetails writes what a disk is, has and does.
func diskDetails(w io.Writer, d *api.Disk, volumes []api.Volume) error {
	pairs := [][2]string{
		{"ID", d.ID},
		{"Node", d.Node},
		{"Path", d.Path},
		{"State", diskState(d)},
		{"Capacity", volume.RoundSize(d.Capacity)},
		{"Free", volume.RoundSize(d.Free)},
		{"Promised", promisedDetails(d)},
	}
	if work := d.Work; work != nil {
		pairs = append(pairs, [2]string{"Direct", yes(work.Direct)})
		for _, k := range []struct {
			name string
			o    api.DiskOperations
		}{{"Reads", work.Reads}, {"Writes", work.Writes}, {"Syncs", work.Syncs}} {
			pairs = append(pairs, [2]string{k.name, fmt.Sprintf("%d, %s each, %s", k.o.Count, took(k.o.MeanSeconds), plural(int(k.o.Errors), "error", "errors"))})
		}
		if work.WaitingSeconds >= 1 {
			pairs = append(pairs, [2]string{"Waiting", took(work.WaitingSeconds) + " for an answer"})
		}
	}
	pairs = append(pairs, scrubDetails(d.Scrub)...)
	for i := range volumes {
		v := &volumes[i]
		if j := slices.IndexFunc(v.Status.Replicas, func(r api.Replica) bool { return r.Disk == d.ID }); j >= 0 {
			pairs = append(pairs, [2]string{"Copy", "of " + v.Name + ", " + v.Status.Replicas[j].State})
		}
	}
	return details(w, pairs)
}
