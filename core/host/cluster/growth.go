package cluster

import (
	"cmp"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/transport/etcd"
)

// votersMax is how many nodes vote: one of three may fail. More would make every
// change wait for more.
const votersMax = 3

// standing is how the nodes are doing: a hint, no safety rests on it.
type standing struct {
	alive, removed map[block.NodeID]bool
	leader         block.NodeID // whose member leads
}

// growth is what is to be done next about who votes.
type growth struct {
	drop    []etcd.Seat // are nobody's any more; nothing else before that
	expect  []Member    // are to become learners
	promote []etcd.Seat // are to vote; none before all learners have started
}

// plan says how the membership grows: one voter until there are three nodes,
// then two learners, then three voters. Two voters would be worse than one: both
// would have to be there. The seat of a node that was removed is taken away and
// given to another; that of a learner also when its node has not been heard from
// while another could take it. A voter that is only away keeps its own. Of the two
// that are left when a third node was removed and no other is there, one gives up.
func plan(members []Member, seats []etcd.Seat, now standing) growth {
	var candidates []Member
	nodes := 0
	for _, m := range members {
		if now.removed[m.Node] {
			continue
		}
		nodes++
		if seatOf(seats, &m) == nil && now.alive[m.Node] {
			candidates = append(candidates, m)
		}
	}
	slices.SortFunc(candidates, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Name, b.Name))
	})
	var g growth
	for _, seat := range seats {
		m := memberOf(members, &seat)
		waiting := seat.Learner && (m == nil && seat.Name == "" || m != nil && !now.alive[m.Node] && len(candidates) > 0)
		if waiting || m != nil && now.removed[m.Node] {
			g.drop = append(g.drop, seat)
		}
	}
	if len(g.drop) > 0 {
		return g
	}
	if nodes < votersMax && len(seats) == 2 && !seats[0].Learner && !seats[1].Learner {
		return growth{drop: follower(members, seats, now)}
	}
	if missing := votersMax - len(seats); missing > 0 {
		if nodes >= votersMax {
			g.expect = candidates[:min(missing, len(candidates))]
		}
		return g
	}
	for _, seat := range seats {
		if !seat.Learner {
			continue
		}
		if m := memberOf(members, &seat); seat.Name == "" || m == nil || !now.alive[m.Node] {
			return growth{} // it has not started yet, or is away: two would vote
		}
		g.promote = append(g.promote, seat)
	}
	return g
}

// follower returns the seat of two that goes: not that of the node whose member
// leads. Both must be heard from: neither goes without the other's consent.
func follower(members []Member, seats []etcd.Seat, now standing) (drop []etcd.Seat) {
	for i := range seats {
		m := memberOf(members, &seats[i])
		if m == nil || !now.alive[m.Node] {
			return nil
		}
		if m.Node != now.leader {
			drop = append(drop, seats[i])
		}
	}
	return drop[:min(1, len(drop))]
}

// memberOf returns whose seat it is, nil if nobody's.
func memberOf(members []Member, s *etcd.Seat) *Member {
	i := slices.IndexFunc(members, func(m Member) bool { return holds(&m, s) })
	if i < 0 {
		return nil
	}
	return &members[i]
}

func holds(m *Member, s *etcd.Seat) bool {
	return s.Name == m.Name || slices.Contains(s.Peers, m.Peer)
}

// seatOf returns the seat of a node, nil if it has none.
func seatOf(seats []etcd.Seat, m *Member) *etcd.Seat {
	i := slices.IndexFunc(seats, func(s etcd.Seat) bool { return holds(m, &s) })
	if i < 0 {
		return nil
	}
	return &seats[i]
}

// votersOf returns the client URLs of those that vote, own first.
func votersOf(seats []etcd.Seat, own string) (urls []string) {
	for _, seat := range seats {
		if !seat.Learner && len(seat.Clients) > 0 {
			urls = append(urls, seat.Clients[0])
		}
	}
	slices.Sort(urls)
	if i := slices.Index(urls, own); i > 0 {
		urls = append([]string{own}, slices.Delete(urls, i, i+1)...)
	}
	return urls
}
