package orchestrator

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

// Snapshots by schedule are asked for by the body, which has a clock: it asks
// what is due and gives the commands. Of a volume that is attached that is its
// node, of any other the first one that is heard from. What was missed, because
// nobody was there, is taken once.

// Chores returns what the schedules of volumes ask of this node at a time, by
// volume: snapshots to be taken, and those that their rules keep no longer.
func (o *Orchestrator) Chores(now time.Time) []volume.Command {
	if !o.view.Known() {
		return nil
	}
	var all []volume.Command
	var of []block.VolumeID
	first := o.first()
	o.view.EachSchedule(func(id block.VolumeID, held *view.Volume, s volume.Schedule) {
		if !o.mindful(held, first) {
			return
		}
		for _, c := range choresOf(held, s, now) {
			all, of = append(all, c), append(of, id)
		}
	})
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(bytes.Compare(of[i][:], of[j][:]), strings.Compare(all[i].Snapshot, all[j].Snapshot))
	})
	sorted := make([]volume.Command, len(all))
	for i, at := range order {
		sorted[i] = all[at]
	}
	return sorted
}

// mindful reports whether the schedule of a volume is this node's to follow.
func (o *Orchestrator) mindful(v *view.Volume, first bool) bool {
	c := v.Config.Value
	if c == nil || c.Tombstone || v.Snapshots.Problem != nil {
		return false
	}
	if a := v.Attachment.Value; a != nil && !a.Upkeep {
		return a.Node == o.p.Node.ID
	}
	return first
}

func choresOf(v *view.Volume, s volume.Schedule, now time.Time) (all []volume.Command) {
	id := v.Config.Value.Volume.String()
	for i := range s {
		r := &s[i]
		if due := r.Due(now); due.After(lastTaken(v, r, now)) && !making(v, r) {
			all = append(all, volume.Command{
				Kind: volume.CreateSnapshot, Name: id, Snapshot: r.Call(due), Rule: r.Name(), Freeze: true,
				Time: now.UTC().Format(time.RFC3339),
			})
		}
		for _, name := range outlived(v.Snapshots.Value, r) {
			all = append(all, volume.Command{Kind: volume.DeleteSnapshot, Name: id, Snapshot: name})
		}
	}
	return all
}

// lastTaken is when a snapshot of a rule was taken last, or since when the rule
// holds. What a clock that was wrong has written, far ahead, does not count.
func lastTaken(v *view.Volume, r *volume.Rule, now time.Time) (last time.Time) {
	texts := []string{v.Spec.Value.Scheduled}
	if v.Snapshots.Value != nil {
		texts = append(texts, v.Snapshots.Value.Taken[r.Name()])
	}
	for _, text := range texts {
		at, err := time.Parse(time.RFC3339, text)
		if err == nil && at.After(last) && at.Before(now.Add(clockOff)) {
			last = at
		}
	}
	return last
}

// clockOff is how far the clocks of nodes may be apart.
const clockOff = time.Hour

// making reports whether a snapshot of a rule is on its way.
func making(v *view.Volume, r *volume.Rule) bool {
	return v.Snapshots.Value != nil && slices.ContainsFunc(v.Snapshots.Value.List, func(s volume.Snapshot) bool {
		return s.Rule == r.Name() && s.State == volume.SnapshotCreating
	})
}

// outlived returns the snapshots of a rule that it keeps no longer: those that
// failed, and the oldest of the others.
func outlived(list *volume.Snapshots, r *volume.Rule) (names []string) {
	if list == nil {
		return nil
	}
	kept := 0
	for _, s := range slices.Backward(list.List) {
		switch {
		case s.Rule != r.Name():
		case s.State == volume.SnapshotFailed:
			names = append(names, s.Name)
		case s.State == volume.SnapshotReady:
			if kept++; kept > r.Keep {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// took notes when a rule was followed last, and forgets rules that are no more.
func (o *Orchestrator) took(list *volume.Snapshots, spec *volume.Spec, c *volume.Command) {
	schedule, _ := volume.ParseSchedule(spec.Schedule) // of none, or one that cannot be read, nothing is forgotten wrongly: see Scheduled
	taken := map[string]string{c.Rule: c.Time}
	for _, name := range slices.Sorted(maps.Keys(list.Taken)) {
		if name != c.Rule && slices.ContainsFunc(schedule, func(r volume.Rule) bool { return r.Name() == name }) {
			taken[name] = list.Taken[name]
		}
	}
	list.Taken = taken
}
