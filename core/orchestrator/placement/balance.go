package placement

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// Copies are balanced by moving one at a time from the fullest disk to the emptiest
// that may take it. What counts is what disks promise, not what is written: a volume
// may be filled at any time.
//
//	fullest disk ──▶ largest copy that does not make the other one the fuller ──▶ emptiest disk allowed ──▶ again
//	     │ none of its copies can go
//	     └──▶ it is stuck, the next fullest
//
// Every move has the sum of the squares of the shares fall, so that there is an end,
// also for whoever plans anew after each move.

// Held is a volume and where its copies are.
type Held struct {
	ID       block.VolumeID
	Spec     *volume.Spec
	Copies   []volume.Place // that are to be there
	Leaving  []volume.Place // that go, and are promised until then
	Attached block.NodeID   // that reads its own copy without the network
	Fixed    bool           // none of its copies is to be moved now

	allowed []bool // nodes, once known
}

const (
	shareWhole = 1_000_000 // shares are counted in millionths
	sharePoint = shareWhole / 100
	usedMax    = 80 // percent of a disk that may be in use after a copy came: above, it is warned of
	stuckMax   = 8  // disks that are named
)

// drive is a disk with what it promises as the plan grows.
type drive struct {
	disk     volume.Disk
	node     *Node
	number   int // of the node
	promised int64
	free     int64
	target   bool    // copies may come
	stuck    bool    // none of its copies can go
	fixed    int     // copies that may be moved later
	sorted   bool    // so are its copies
	copies   []*Held // that may be moved
}

func (d *drive) share(more int64) int64 {
	return (d.promised + more) / max(1, d.disk.Capacity/shareWhole)
}

// whyStuck says that a disk stays as full as it is.
func (d *drive) whyStuck() string {
	text := fmt.Sprintf("disk %v of node %s stays at %d %%: none of its copies can go to an emptier disk", d.disk.ID, d.node.Name, percent(d.share(0)))
	if d.fixed > 0 {
		text += fmt.Sprintf("; %d of their volumes are being changed, or not whole, now", d.fixed)
	}
	return text
}

func percent(share int64) int { return int(share / sharePoint) }

// balance is a plan being made.
type balance struct {
	drives []*drive // emptiest first
	nodes  []Node
	at     map[block.DiskID]*drive
	spread int64
	// rules says by what a specification asks for which nodes it allows, by number:
	// many volumes ask for the same.
	rules map[string][]bool
	zones map[block.NodeID]string
}

// Balance plans which copies are to be moved until the shares of disks that are
// promised differ by at most spread points, or nothing helps; most of them, at most.
func Balance(nodes []Node, volumes []Held, spread, most int) volume.Balance {
	b := newBalance(nodes, slices.Clone(volumes), spread)
	plan := volume.Balance{Spread: spread, Emptiest: 100}
	if from, to := b.ends(); from != nil {
		plan.Fullest = percent(from.share(0))
		if to != nil {
			plan.Emptiest = percent(to.share(0))
		}
	}
	stuck := 0
	for len(plan.Moves) < most {
		from, to := b.ends()
		if from == nil || to == nil || from.share(0)-to.share(0) <= b.spread {
			break
		}
		v, to := b.pick(from)
		if v == nil {
			from.stuck = true
			plan.Waiting += from.fixed
			if stuck++; stuck > stuckMax {
				continue
			}
			plan.Stuck = append(plan.Stuck, from.whyStuck())
			continue
		}
		plan.Moves = append(plan.Moves, volume.CopyMove{
			Volume: v.ID, Name: v.Spec.Name, From: from.disk, To: to.disk, FromNode: from.node.Name, ToNode: to.node.Name,
			Bytes: v.Spec.Size, FromShare: percent(from.share(0)), ToShare: percent(to.share(0)),
		})
		plan.Bytes += v.Spec.Size
		b.move(v, from, to)
	}
	if more := stuck - stuckMax; more > 0 {
		plan.Stuck = append(plan.Stuck, fmt.Sprintf("and %d more disks", more))
	}
	return plan
}

// newBalance takes the disks whose copies can be read and may stay: what is drained
// is emptied by others, and what is in maintenance is about to be away.
func newBalance(nodes []Node, volumes []Held, spread int) *balance {
	b := &balance{nodes: nodes, spread: int64(spread) * sharePoint, rules: map[string][]bool{}, at: map[block.DiskID]*drive{}, zones: map[block.NodeID]string{}}
	for i := range nodes {
		n := &nodes[i]
		b.zones[n.ID] = n.Zone
		if !n.Alive || n.Spec.Leaves || n.Spec.Drained != "" || n.Spec.Maintained != "" {
			continue
		}
		for _, disk := range n.Disks {
			if disk.Unusable == "" && disk.Capacity > 0 {
				d := &drive{disk: disk, node: n, number: i, promised: disk.Promised, free: disk.Free, target: n.Spec.Avoid() == "" && disk.Avoid() == ""}
				b.at[disk.ID] = d
				b.drives = append(b.drives, d)
			}
		}
	}
	for i := range volumes {
		v := &volumes[i]
		for _, p := range v.Leaving {
			if d := b.at[p.Disk]; d != nil {
				d.promised -= v.Spec.Size
			}
		}
		for _, p := range v.Copies {
			switch d := b.at[p.Disk]; {
			case d == nil:
			case v.Fixed:
				d.fixed++
			default:
				d.copies = append(d.copies, v)
			}
		}
	}
	slices.SortFunc(b.drives, compareDrives)
	return b
}

func compareDrives(x, y *drive) int {
	return cmp.Or(cmp.Compare(x.share(0), y.share(0)), compareID(x.disk.ID, y.disk.ID))
}

// ends are the fullest disk that is not stuck and the emptiest one that copies may
// come to; nil: there is none.
func (b *balance) ends() (from, to *drive) {
	for _, d := range slices.Backward(b.drives) {
		if !d.stuck {
			from = d
			break
		}
	}
	if i := slices.IndexFunc(b.drives, func(d *drive) bool { return d.target }); i >= 0 {
		to = b.drives[i]
	}
	return from, to
}

// pick finds the copy that is to leave a disk, and where it goes: one that does not
// make the other disk the fuller, if there is one, and the largest of those. A copy
// on the node that uses the volume comes after all others.
func (b *balance) pick(from *drive) (*Held, *drive) {
	if !from.sorted {
		from.sorted = true
		slices.SortFunc(from.copies, func(x, y *Held) int {
			return cmp.Or(compareBool(x.Attached == from.node.ID, y.Attached == from.node.ID), cmp.Compare(y.Spec.Size, x.Spec.Size), compareID(x.ID, y.ID))
		})
	}
	for _, turns := range []bool{false, true} { // the other one may become the fuller
		for _, v := range from.copies {
			if to := b.place(v, from, turns); to != nil {
				return v, to
			}
		}
	}
	return nil, nil
}

func compareBool(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

// place finds the emptiest disk that may take a copy, and is the better for it.
func (b *balance) place(v *Held, from *drive, turns bool) *drive {
	size, had, allowed := v.Spec.Size, from.share(0), b.allowed(v)
	left := from.share(-size)
	for _, to := range b.drives {
		if had-to.share(0) <= b.spread {
			return nil
		}
		then := to.share(size)
		better := then < had && to.share(0)+then < had+left && (turns || then <= left)
		if better && (allowed == nil || allowed[to.number]) && to.takes(size) && b.spreads(v, from, to) {
			return to
		}
	}
	return nil
}

// takes reports whether a disk has room for so much: nothing is over-promised to have
// disks balanced, and none is filled nearly.
func (d *drive) takes(size int64) bool {
	used := d.disk.Capacity - d.free + size
	return d.target && d.promised+size <= d.disk.Capacity && used <= d.disk.Capacity/100*usedMax
}

// allowed says which nodes the specification of a volume allows; nil: all.
func (b *balance) allowed(v *Held) []bool {
	s := v.Spec
	if len(s.Nodes) == 0 && len(s.Zones) == 0 && len(s.Labels) == 0 {
		return nil
	}
	if v.allowed == nil {
		rule := fmt.Sprintf("%q %q %q", s.Nodes, s.Zones, s.Labels)
		if b.rules[rule] == nil {
			b.rules[rule] = make([]bool, len(b.nodes))
			for i := range b.nodes {
				b.rules[rule][i] = Forbidden(s, &b.nodes[i].Node) == ""
			}
		}
		v.allowed = b.rules[rule]
	}
	return v.allowed
}

// spreads reports whether a volume's copies are on as many nodes and in as many zones
// with one there instead: on a node that has none, and in no zone with more of them.
func (b *balance) spreads(v *Held, from, to *drive) bool {
	here, there := 0, 0
	for _, at := range v.Copies {
		switch zone := b.zones[at.Node]; {
		case at.Node == to.node.ID:
			return false
		case at.Node == from.node.ID:
		case zone == to.node.Zone:
			there++
			if zone == from.node.Zone {
				here++
			}
		case zone == from.node.Zone:
			here++
		}
	}
	return there <= here
}

// move has the plan go on as if a copy were there already. That one is not moved again.
func (b *balance) move(v *Held, from, to *drive) {
	from.promised -= v.Spec.Size
	to.promised += v.Spec.Size
	to.free -= v.Spec.Size
	from.copies = slices.DeleteFunc(from.copies, func(o *Held) bool { return o == v })
	v.Copies = slices.Clone(v.Copies)
	for i := range v.Copies {
		if v.Copies[i].Disk == from.disk.ID {
			v.Copies[i] = volume.Place{Node: to.node.ID, Disk: to.disk.ID}
		}
	}
	b.reorder(from)
	b.reorder(to)
}

// reorder puts a disk where its share has it be; all others are in order.
func (b *balance) reorder(d *drive) {
	i := slices.Index(b.drives, d)
	for ; i > 0 && compareDrives(d, b.drives[i-1]) < 0; i-- {
		b.drives[i] = b.drives[i-1]
	}
	for ; i+1 < len(b.drives) && compareDrives(d, b.drives[i+1]) > 0; i++ {
		b.drives[i] = b.drives[i+1]
	}
	b.drives[i] = d
}
