package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/lagan-storage/lagan/transport/etcd"
)

func member(seq int) Member {
	return Member{Format: format, Seq: seq, Name: fmt.Sprintf("n%d", seq), Peer: fmt.Sprintf("https://n%d:7302", seq)}
}

// voter is a seat of a member that votes.
func voter(seq int) etcd.Seat {
	m := member(seq)
	return etcd.Seat{ID: uint64(seq), Name: m.Name, Peers: []string{m.Peer}, Clients: []string{fmt.Sprintf("https://n%d:7303", seq)}}
}

// learner is one that does not yet vote.
func learner(seq int, started bool) etcd.Seat {
	s := voter(seq)
	s.Learner = true
	if !started {
		s.Name, s.Clients = "", nil
	}
	return s
}

func TestMembershipGrowsFromOneToThreeAndNeverRestsAtTwo(t *testing.T) {
	members := func(count int) (all []Member) {
		for seq := count; seq > 0; seq-- { // the store's order is another
			all = append(all, member(seq))
		}
		return all
	}
	for _, c := range []struct {
		about   string
		members []Member
		seats   []etcd.Seat
		expect  []string
		promote []string
	}{
		{"one node", members(1), []etcd.Seat{voter(1)}, nil, nil},
		{"two nodes", members(2), []etcd.Seat{voter(1)}, nil, nil},
		{"three nodes", members(3), []etcd.Seat{voter(1)}, []string{"n2", "n3"}, nil},
		{"five nodes: the oldest", members(5), []etcd.Seat{voter(1)}, []string{"n2", "n3"}, nil},
		{"broken off between the two", members(3), []etcd.Seat{voter(1), learner(2, false)}, []string{"n3"}, nil},
		{"none has started", members(3), []etcd.Seat{voter(1), learner(2, false), learner(3, false)}, nil, nil},
		{"one has started", members(3), []etcd.Seat{voter(1), learner(2, true), learner(3, false)}, nil, nil},
		{"both have started", members(3), []etcd.Seat{voter(1), learner(2, true), learner(3, true)}, nil, []string{"n2", "n3"}},
		{"one was promoted", members(3), []etcd.Seat{voter(1), voter(2), learner(3, true)}, nil, []string{"n3"}},
		{"three vote", members(4), []etcd.Seat{voter(1), voter(2), voter(3)}, nil, nil},
	} {
		g := plan(c.members, c.seats)
		var expect, promote []string
		for _, m := range g.expect {
			expect = append(expect, m.Name)
		}
		for _, s := range g.promote {
			promote = append(promote, s.Name)
		}
		if !slices.Equal(expect, c.expect) || !slices.Equal(promote, c.promote) {
			t.Errorf("%s: expects %v, promotes %v; want %v and %v", c.about, expect, promote, c.expect, c.promote)
		}
	}
}

func TestVotersAreAskedTheNearestFirst(t *testing.T) {
	seats := []etcd.Seat{voter(3), voter(1), learner(4, true), voter(2), learner(5, false)}
	for own, want := range map[string][]string{
		"https://n2:7303": {"https://n2:7303", "https://n1:7303", "https://n3:7303"},
		"https://n4:7303": {"https://n1:7303", "https://n2:7303", "https://n3:7303"},
	} {
		if got := votersOf(seats, own); !slices.Equal(got, want) {
			t.Errorf("node at %s asks %v, want %v", own, got, want)
		}
	}
}
