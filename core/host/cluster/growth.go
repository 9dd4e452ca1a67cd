package cluster

import (
	"cmp"
	"slices"

	"github.com/lagan-storage/lagan/transport/etcd"
)

// votersMax is how many nodes vote: one of three may fail. More would make every
// change wait for more.
const votersMax = 3

// growth is what is to be done next about who votes.
type growth struct {
	expect  []Member    // are to become learners
	promote []etcd.Seat // are to vote; none before all learners have started
}

// plan says how the membership grows: one voter until there are three nodes,
// then two learners, then three voters. Two voters would be worse than one: both
// would have to be there.
func plan(members []Member, seats []etcd.Seat) growth {
	if len(members) < votersMax {
		return growth{}
	}
	var candidates []Member
	for i := range members {
		if seatOf(seats, &members[i]) == nil {
			candidates = append(candidates, members[i])
		}
	}
	slices.SortFunc(candidates, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Name, b.Name))
	})
	if missing := votersMax - len(seats); missing > 0 {
		return growth{expect: candidates[:min(missing, len(candidates))]}
	}
	var learners []etcd.Seat
	for _, seat := range seats {
		if seat.Learner {
			if seat.Name == "" {
				return growth{} // it has not started yet
			}
			learners = append(learners, seat)
		}
	}
	return growth{promote: learners}
}

// seatOf returns the seat of a node, nil if it has none.
func seatOf(seats []etcd.Seat, m *Member) *etcd.Seat {
	i := slices.IndexFunc(seats, func(s etcd.Seat) bool { return s.Name == m.Name || slices.Contains(s.Peers, m.Peer) })
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
