package command

import (
	"encoding/hex"
	"fmt"
	"math/bits"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/check"
	"github.com/lagan-storage/lagan/core/store/format"
)

// dump prints what lies on a disk.
type dump struct {
	lines
	im     *check.Image
	volume string // only what is of volumes whose identity begins so
	data   bool   // also what people have stored
}

func (s *session) diskDump() *cobra.Command {
	d := dump{}
	c := hasNoNames(&cobra.Command{
		Use: "dump PATH", Short: "Print what lies on a disk that no daemon has open", Args: exactly(1),
		Long: `Print what lies on a disk, a file or a block device, while no daemon has it open:
the superblocks, the root, the tables of volumes and layers, and the batches and
records of the journal. With --volume also each chunk of its layers. What people
have stored is left out, unless --data asks for it. docs/storage-format.md says
what the words mean. Nothing is written, and no node is asked.

Exit codes: 0 printed, 2 the disk cannot be used.`,
		Example: "  lagan disk dump /dev/sdb\n  lagan disk dump /dev/sdb --volume 0011 --data",
		RunE: func(_ *cobra.Command, arguments []string) error {
			if s.output != asTable && s.output != asWide {
				return usageError{fmt.Errorf("lagan disk dump prints text and nothing else: leave -o out; lagan disk fsck -o json has the figures")}
			}
			return look(arguments[0], func(im *check.Image) error {
				d.w, d.im = s.Out, im
				return d.all()
			})
		},
	})
	c.Flags().StringVar(&d.volume, "volume", "", "only what is of volumes whose ID begins so, and each of their chunks")
	c.Flags().BoolVar(&d.data, "data", false, "also the data of the journal's records and, with --volume, of chunks")
	return c
}

func (d *dump) all() error {
	d.superblocks()
	var chunks func(*format.Layer, block.Chunk, *format.Descriptor)
	wanted := map[uint32]bool{} // handles
	all, _ := d.im.Contents(nil)
	for i := range all.Volumes {
		wanted[all.Volumes[i].Handle] = strings.HasPrefix(all.Volumes[i].Volume.String(), d.volume)
	}
	d.add("root: next handle %d, next layer %d", all.Root.NextHandle, all.Root.NextLayer)
	for i := range all.Volumes {
		if v := &all.Volumes[i]; wanted[v.Handle] {
			d.replica(v)
		}
	}
	for i := range all.Layers {
		if l := &all.Layers[i]; d.volume == "" || wanted[l.Owner] {
			d.layer(l)
		}
	}
	for i := range all.Parked {
		if p := &all.Parked[i]; wanted[p.Volume.Handle] {
			d.add("parked at %d, lost blocks %016b: %s", p.At, p.Bad, recordText(&p.Record))
		}
	}
	if d.volume != "" {
		chunks = func(l *format.Layer, c block.Chunk, desc *format.Descriptor) {
			if wanted[l.Owner] {
				d.chunk(l, c, desc)
			}
		}
	}
	_, findings := d.im.Contents(chunks)
	d.journal(wanted)
	for _, f := range findings {
		d.add("WRONG: %s: %s", f.Kind, f.Text)
	}
	return d.err
}

func (d *dump) superblocks() {
	for i := range d.im.Superblocks.Copies {
		s, err := &d.im.Superblocks.Copies[i], d.im.Superblocks.Errs[i]
		if err != nil {
			d.add("superblock %d: %v", i, err)
			continue
		}
		j := &s.Journal
		d.add("superblock %d: disk %v pool %x sequence %d settled %d clean %v\n  capacity %d, blocks of %d, %d slots, the first at %d\n  journal of %d at %d: tail %d, batch %d after crc %08x; opened %d times; batch %d is durable\n  root page %d crc %08x, bitmap page %d crc %08x",
			i, s.Disk, s.Pool[:], s.Sequence, s.Settled, s.Clean, s.Capacity, s.BlockSize, d.im.Slots, d.im.SlotAt(1),
			j.Length, int64(format.JournalOffset), j.Tail, j.TailBatch, j.TailPrev, j.OpenCount, j.Durable,
			s.Root.Page, s.Root.CRC, s.Bitmap.Page, s.Bitmap.CRC)
	}
}

func (d *dump) replica(v *format.Volume) {
	m := &v.Meta
	d.add("volume %v: replica %v handle %d, %d blocks, head layer %d, damaged %v\n  last %s base %s stable %d controls %d parked page %d\n  promised %d session %x known epoch %d member epoch %d complete %v resync %x target %s overcome %d",
		v.Volume, v.Replica, v.Handle, v.Blocks, v.Head, v.Damaged, positionText(v.Last), positionText(v.Base), v.Stable, v.Controls, v.Parked.Page,
		m.Promised, m.Session, m.KnownEpoch, m.MemberEpoch, m.Complete, m.Resync, positionText(m.SyncTarget), m.Overcome)
}

func (d *dump) layer(l *format.Layer) {
	text := fmt.Sprintf("layer %d on %d: owner %d, snapshot %x, %d blocks, closed at %s; tree of height %d at page %d with %d slots",
		l.Number, l.Parent, l.Owner, uint64(l.ID), l.Blocks, positionText(l.Closed), l.Tree.Height, l.Tree.Root.Page, l.Tree.Used)
	if l.Under.Height > 0 {
		text += fmt.Sprintf("; under it one of height %d at page %d with %d slots for %d blocks", l.Under.Height, l.Under.Root.Page, l.Under.Used, l.Reach)
	}
	for _, flag := range []struct {
		set  bool
		word string
	}{{l.Doomed, ", doomed"}, {l.Freed, ", freed"}, {l.Down, ", moves down"}} {
		if flag.set {
			text += flag.word
		}
	}
	d.add("%s", text)
}

func (d *dump) chunk(l *format.Layer, c block.Chunk, desc *format.Descriptor) {
	states := make([]byte, block.PerChunk)
	for i := range states {
		states[i] = "-zd!"[desc.State(i)]
	}
	d.add("  layer %d chunk %d: slot %d %s last %d", l.Number, c, desc.Slot, states, desc.LastSeq)
	if !d.data || desc.Slot == 0 {
		return
	}
	content, err := d.im.Chunk(desc.Slot)
	if err != nil {
		d.add("    %v", err)
		return
	}
	size := int(d.im.Super.BlockSize)
	for i := range states {
		if desc.State(i) == format.Present {
			d.block(c.First()+block.Block(i), desc.Sums[i], content[i*size:(i+1)*size])
		}
	}
}

// block prints what somebody stored.
func (d *dump) block(at block.Block, sum block.Checksum, data []byte) {
	if data == nil {
		d.add("    block %d: cannot be read", at)
		return
	}
	judged := ""
	if got := block.ChecksumOf(data); got != sum {
		judged = fmt.Sprintf(", NOT what was written: it has %08x", uint32(got))
	}
	d.add("    block %d: crc %08x%s\n%s", at, uint32(sum), judged, strings.TrimRight(hex.Dump(data), "\n"))
}

func (d *dump) journal(wanted map[uint32]bool) {
	j := d.im.Journal()
	for i := range j.Batches {
		d.batch(&j.Batches[i], "", wanted)
	}
	if j.Torn != nil {
		d.batch(j.Torn, ", TORN: the next opening cuts it off", wanted)
	}
	for _, g := range j.Missing {
		d.add("batches %d to %d are MISSING", g.First, g.Last)
	}
}

func (d *dump) batch(b *check.Batch, note string, wanted map[uint32]bool) {
	d.add("batch %d at %d, position %d: generation %d, %d bytes, after crc %08x, batch %d is durable%s",
		b.Batch, b.Offset, b.Position, b.Generation, b.Length, b.Prev, b.Durable, note)
	shown := -1
	show := func(n int) bool {
		for shown < n {
			shown++
			if rec := &b.Records[shown]; d.volume == "" || wanted[rec.Handle] {
				d.add("  %s", recordText(rec))
			}
		}
		return d.volume == "" || wanted[b.Records[n].Handle]
	}
	if d.data {
		d.im.EachBlock(b, func(n int, at block.Block, sum block.Checksum, data []byte) {
			if show(n) {
				d.block(at, sum, data)
			}
		})
	}
	if len(b.Records) > 0 {
		show(len(b.Records) - 1)
	}
	for _, bad := range b.Bad {
		d.add("  block %d of record %d is NOT what was written", bad.Block, bad.Record)
	}
}

func positionText(p block.Position) string { return fmt.Sprintf("%d.%d", p.Era, p.Seq) }

// recordText is a record of the journal in a line.
func recordText(r *format.Record) string {
	text := fmt.Sprintf("%s handle %d", r.Kind, r.Handle)
	if r.Position != (block.Position{}) {
		text += " at " + positionText(r.Position)
	}
	if r.Range.Count > 0 {
		text += fmt.Sprintf(" blocks %d+%d", uint64(r.Range.First), r.Range.Count)
	}
	for _, f := range []struct {
		name string
		n    uint64
	}{
		{"stable", uint64(r.Stable)},
		{"slot", uint64(r.Slot)},
		{"from", uint64(r.From)},
		{"controls", uint64(r.Controls)},
		{"last", uint64(r.LastSeq)},
		{"size", r.Blocks},
		{"promised", uint64(r.Meta.Promised)},
		{"known", uint64(r.Meta.KnownEpoch)},
		{"resync", r.Meta.Resync},
	} {
		if f.n != 0 {
			text += fmt.Sprintf(" %s %d", f.name, f.n)
		}
	}
	if r.Layer != 0 {
		text += fmt.Sprintf(" snapshot %x", uint64(r.Layer))
	}
	if r.Parent != 0 {
		text += fmt.Sprintf(" on %x", uint64(r.Parent))
	}
	if r.Kind == format.Resync {
		text += fmt.Sprintf(" apply %016b present %016b zero %016b", r.Apply, r.Present, r.Zero)
	}
	if r.Replica != (block.ReplicaID{}) {
		text += fmt.Sprintf(" replica %v volume %v", r.Replica, r.Volume)
	}
	if n := bits.OnesCount16(r.Holds()); n > 0 {
		text += fmt.Sprintf(" with %s", plural(n, "block", "blocks"))
	}
	if r.FUA {
		text += " durable at once"
	}
	return text
}
