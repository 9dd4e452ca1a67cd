package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/store/check"
	"github.com/lagan-storage/lagan/core/volume"
)

// look has f read a disk that no daemon has open.
func look(path string, f func(*check.Image) error) error {
	disk, err := diskio.OpenLook(path)
	if err != nil {
		return usageError{err}
	}
	defer func() { _ = disk.Close() }() // it was only read
	im, err := check.Open(disk, disk.Size)
	if err != nil {
		return usageError{fmt.Errorf("disk %s cannot be used: %w", path, err)}
	}
	return f(im)
}

func (s *session) diskFsck() *cobra.Command {
	return hasNoNames(&cobra.Command{
		Use: "fsck PATH", Short: "Check a disk that no daemon has open", Args: exactly(1),
		Long: `Check a disk, a file or a block device, while no daemon has it open. Every page
of metadata and every block of data is read and compared with its checksum; that
each part of the disk belongs to one thing is compared with what counts as used.
Nothing is written, and no node is asked.

What is found needs no repair by hand: blocks and copies are filled anew from the
other copies of their volumes. Notes are what a loss of power leaves, and what the
next start puts in order.

Exit codes: 0 nothing is wrong, 1 something is, 2 the disk cannot be used.`,
		Example: "  lagan disk fsck /dev/sdb\n  lagan disk fsck /var/lib/lagan-pool -o json",
		RunE: func(_ *cobra.Command, arguments []string) error {
			return look(arguments[0], func(im *check.Image) error {
				r := check.Run(im)
				if err := s.print(r, func(w io.Writer) error { return fsckReport(w, arguments[0], r) }); err != nil {
					return err
				}
				if n := len(r.Findings) + r.FindingsCut; n > 0 {
					return fmt.Errorf("disk %s: %s wrong with it: give the disk back to its node, which fills from other copies what is lost, or replace it:  lagan disk rm", arguments[0], plural(n, "thing is", "things are"))
				}
				return nil
			})
		},
	})
}

// fsckReport is the outcome of a check for people.
func fsckReport(w io.Writer, path string, r *check.Report) error {
	out := &lines{w: w}
	closed := "closed in order"
	if !r.Clean {
		closed = "not closed in order"
	}
	out.add("%s: disk %v, %s, opened %s, %s", path, r.Disk, volume.RoundSize(r.Capacity), plural(int(r.OpenCount), "time", "times"), closed)
	n, j := &r.Slots, &r.Journal
	out.add("space:    %s for data: %s chunks, %s metadata in %s, %s parked, %s free", volume.RoundSize(int64(n.Total)*n.Bytes),
		volume.RoundSize(int64(n.Chunks)*n.Bytes), volume.RoundSize(int64(n.Pages)*n.Bytes), plural(r.Pages, "page", "pages"),
		volume.RoundSize(int64(n.Parked)*n.Bytes), volume.RoundSize(int64(n.Free)*n.Bytes))
	out.add("journal:  %s of %s used by %s with %s, from batch %d on, durable up to %d", volume.RoundSize(j.Used), volume.RoundSize(j.Bytes),
		plural(j.Batches, "batch", "batches"), plural(j.Records, "record", "records"), j.Tail, j.Durable)
	out.add("data:     %s compared with their checksums", plural(int(r.BlocksRead), "block", "blocks"))
	for i := range r.Volumes {
		v := &r.Volumes[i]
		out.add("volume %v: %s, %s used by %s, last record %d.%d, %s parked", v.Volume, volume.RoundSize(v.Size), volume.RoundSize(v.Used),
			plural(len(v.Layers), "layer", "layers"), v.Last.Era, v.Last.Seq, plural(v.Parked, "record", "records"))
		for i := range v.Layers {
			layerLine(out, &v.Layers[i])
		}
	}
	if len(r.Nobodys) > 0 {
		out.add("of deleted volumes:")
	}
	for i := range r.Nobodys {
		layerLine(out, &r.Nobodys[i])
	}
	for _, text := range r.Notes {
		out.add("note: %s", text)
	}
	for _, f := range r.Findings {
		out.add("WRONG: %s: %s", f.Kind, f.Text)
	}
	if r.FindingsCut > 0 {
		out.add("WRONG: and %d more", r.FindingsCut)
	}
	if len(r.Findings) == 0 {
		out.add("nothing is wrong")
	}
	return out.err
}

func layerLine(out *lines, l *check.Layer) {
	kind := fmt.Sprintf("snapshot %x", uint64(l.ID))
	if l.Head {
		kind = "head"
	}
	if l.Goes {
		kind += ", which goes"
	}
	on := ""
	if l.Parent != 0 {
		on = fmt.Sprintf(" on layer %d", l.Parent)
	}
	out.add("  layer %d%s: %s, %s", l.Number, on, kind, volume.RoundSize(l.Used))
}
