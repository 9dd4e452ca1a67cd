package orchestrator

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// onCompared tells what a comparison of the copies of a volume has found, once it is
// over. That they are equal is no news.
func (o *Orchestrator) onCompared(c *step.Control, out *step.Effects) {
	spec := o.view.Volume(c.Volume).Spec.Value
	if spec == nil || c.Comparison.Blocks == 0 {
		return
	}
	found := o.Differences(c.Volume, c.Comparison)
	out.Events = append(out.Events, volume.Event{
		Kind: volume.CopiesDiffer, Volume: spec.Name,
		Text: fmt.Sprintf("volume %s: %s on all copies, %s; nothing was changed: %s", spec.Name, NotTheSame(c.Comparison.Blocks), placeOf(found), RemedyOf(spec.Name)),
	})
}

// NotTheSame says how many blocks differ.
func NotTheSame(blocks uint64) string {
	if blocks == 1 {
		return "1 block is not the same"
	}
	return fmt.Sprintf("%d blocks are not the same", blocks)
}

// placeOf names the first place of a list that is not empty.
func placeOf(found []volume.Differing) string {
	first := &found[0]
	var nodes []string
	for _, c := range first.Copies {
		nodes = append(nodes, c.Node)
	}
	text := fmt.Sprintf("the first at byte %d on nodes %s", first.Offset, strings.Join(nodes, ", "))
	if first.Snapshot != "" {
		text += ", in snapshot " + first.Snapshot
	}
	return text
}

// RemedyOf says what to do about copies that differ. Only who knows the data can tell
// which of them is right.
func RemedyOf(name string) string {
	return fmt.Sprintf("if you know which copy is wrong, have it made anew:  lagan replica rm %s NODE  and then  lagan replica add %s;  "+
		"otherwise write the files anew that have these blocks (from a backup), delete snapshots that have them, and check again", name, name)
}

// Differences names what a comparison found, by place: nodes and snapshots are called
// as people call them.
func (o *Orchestrator) Differences(id block.VolumeID, found *volume.Comparison) (all []volume.Differing) {
	snapshots := o.view.Volume(id).Snapshots.Value
	for _, d := range slices.SortedFunc(slices.Values(found.Places), func(a, b volume.Difference) int {
		return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Chunk, b.Chunk))
	}) {
		first, size := bits.TrailingZeros16(d.Blocks), int64(o.p.BlockSize)
		one := volume.Differing{
			Offset: (int64(d.Chunk.First()) + int64(first)) * size,
			Length: int64(bits.Len16(d.Blocks)-first) * size,
		}
		if d.Layer != 0 {
			one.Snapshot = fmt.Sprintf("%016x", uint64(d.Layer))
			if s := snapshots.Find(d.Layer); s != nil {
				one.Snapshot = s.Name
			}
		}
		for _, c := range d.Copies {
			one.Copies = append(one.Copies, volume.CopyContent{Node: o.nodeName(c.Node), Checksum: fmt.Sprintf("%08x", uint32(c.Sum))})
		}
		all = append(all, one)
	}
	return all
}
