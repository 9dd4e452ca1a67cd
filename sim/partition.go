package sim

import "time"

// strikeNetwork makes a fault of the network happen.
func (w *World) strikeNetwork(f *Fault, b, peer *body) {
	n := &w.network
	switch f.Kind {
	case CutOneWay:
		w.cutFor(f.For, []pair{{b.index, peer.index}})
	case PartitionNodes:
		w.cutFor(f.For, w.shape(f))
		if f.Pick>>60 == 0 { // and the metadata store is on the other side
			w.metadata.cut(b)
			w.after(f.For, callHeal, func() { w.metadata.mend(b) })
		}
	case IsolateHolder:
		w.isolate(w.holder(f), f)
	case ClogLink:
		n.clog(b.index, peer.index, f.For)
	case FlapLink:
		w.flap(f, 1+int(f.Pick%12))
	case ResetConnection:
		n.reset(f.Pick)
	case FlipBit:
		n.flip(f.Pick)
	case HalfOpen:
		n.halve(b, f.Pick, f.For)
	default:
	}
}

// isolate cuts a node from all others and, mostly, from the metadata store.
func (w *World) isolate(b *body, f *Fault) {
	var list []pair
	for i := range w.bodies {
		if i != b.index {
			list = append(list, pair{i, b.index}, pair{b.index, i})
		}
	}
	w.cutFor(f.For, list)
	if f.Pick>>60 != 0 {
		w.metadata.cut(b)
		w.after(f.For, callHeal, func() { w.metadata.mend(b) })
	}
}

// pair is one direction of a link.
type pair struct{ from, to int }

func (w *World) cutFor(d time.Duration, pairs []pair) {
	w.counts.Cuts++
	for _, p := range pairs {
		w.network.cut(p.from, p.to)
	}
	w.after(d, callHeal, func() {
		for _, p := range pairs {
			w.network.mend(p.from, p.to)
		}
	})
}

// shape draws who cannot reach whom: halves, one alone, a bridge between two
// halves, a ring.
func (w *World) shape(f *Fault) (list []pair) {
	nodes := len(w.bodies)
	side := func(i int) bool { return scramble(f.Pick+uint64(i))&1 == 0 }
	apart := func(a, b int) bool {
		switch f.Pick % 4 {
		case 0:
			return side(a) != side(b)
		case 1:
			return a == f.Node || b == f.Node
		case 2: // f.Node reaches both sides
			return a != f.Node && b != f.Node && side(a) != side(b)
		default:
			return (a+1)%nodes != b && (b+1)%nodes != a
		}
	}
	for a := range nodes {
		for b := range nodes {
			if a != b && apart(a, b) {
				list = append(list, pair{a, b})
			}
		}
	}
	return list
}

// flap cuts a link both ways, again and again.
func (w *World) flap(f *Fault, times int) {
	if times == 0 || w.healed {
		return
	}
	half := max(f.For/8, time.Millisecond)
	w.cutFor(half, []pair{{f.Node, f.Peer}, {f.Peer, f.Node}})
	w.after(2*half, callFlap, func() { w.flap(f, times-1) })
}
