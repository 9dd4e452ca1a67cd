package sim

import (
	"time"

	"github.com/lagan-storage/lagan/core/volume"
)

// A node that joins is one that a plan's cluster begins without: its host is off,
// and nothing is recorded of it or of its disk, until it is told to join.

// drawJoin draws a node that joins under the load, and what happens to it then. It
// comes after all other draws: those without a join stay what they were.
func (p *Plan) drawJoin() {
	s := newStream(p.Seed, "join", 0)
	if joins := p.Profile == Swarm && s.oneIn(5) || p.Profile == MetadataOnly && s.oneIn(3); !joins {
		return
	}
	n := p.Nodes
	p.Nodes++
	p.ClockPPM = append(p.ClockPPM, p.ClockPPM[s.below(n)])
	f := Fault{Kind: JoinNode, Node: n, At: s.span(p.Safety/20, p.Safety/2), Pick: s.next(), For: s.logSpan(time.Millisecond, 4*time.Second)}
	p.Faults = append(p.Faults, f)
	for range s.below(4) {
		kinds := []FaultKind{KillProcess, PauseProcess, MetadataCut, CutOneWay, MoveVolume}
		if p.Profile == MetadataOnly {
			kinds = []FaultKind{MetadataCut, ExpireLease, MoveVolume}
		}
		p.Faults = append(p.Faults, Fault{
			Kind: kinds[s.below(len(kinds))], Node: n, Peer: s.below(n), At: f.At + s.logSpan(time.Millisecond, p.Safety/2),
			Pick: s.next(), For: s.logSpan(time.Millisecond, 8*time.Second),
		})
	}
	p.order()
}

// awaitJoins takes the nodes away that join later.
func (w *World) awaitJoins() {
	for i := range w.plan.Faults {
		if f := &w.plan.Faults[i]; f.Kind == JoinNode {
			w.bodies[f.Node].absent = true
		}
	}
}

// join starts a node that was not there; a volume moves to it after a while, by
// force, in half of the cases.
func (w *World) join(f *Fault, b *body) {
	if !b.absent {
		w.counts.Faults[f.Kind]--
		return
	}
	w.counts.Joins++
	b.absent, b.joined = false, true
	b.up()
	if f.Pick&1 == 0 {
		return
	}
	i := int(f.Pick >> 8 % uint64(len(w.volumes)))
	w.after(f.For, callOperator, func() {
		if b.life != 0 && !w.healed {
			w.operator.moveTo(w.volumes[i], &w.operator.wants[i], b.index)
		}
	})
}

// checkJoined looks whether all know of those that joined and of their disks.
func (w *World) checkJoined() {
	for _, b := range w.bodies {
		if !b.joined {
			continue
		}
		for _, key := range []string{volume.NodeKey(b.id), volume.DiskKey(b.drives[0].id)} {
			if _, found := w.metadata.record(key); !found {
				w.fail("debris", "%s joined, and there is no record %s", b.name, key)
			}
		}
	}
}
