package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/transport/etcd"
)

func member(seq int) Member {
	return Member{Format: format, Seq: seq, Node: block.NodeID{15: byte(seq)}, Name: fmt.Sprintf("n%d", seq), Peer: fmt.Sprintf("https://n%d:7302", seq)}
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
	moved := voter(2)
	moved.Peers, moved.Name, moved.Clients, moved.Learner = []string{"https://elsewhere:7302"}, "", nil, true
	for _, c := range []struct {
		about   string
		members []Member
		seats   []etcd.Seat
		away    []int
		removed []int
		leader  int // 0: the first
		drop    []uint64
		expect  []string
		promote []string
	}{
		{about: "one node", members: members(1), seats: []etcd.Seat{voter(1)}},
		{about: "two nodes", members: members(2), seats: []etcd.Seat{voter(1)}},
		{about: "three nodes", members: members(3), seats: []etcd.Seat{voter(1)}, expect: []string{"n2", "n3"}},
		{about: "five nodes: the oldest", members: members(5), seats: []etcd.Seat{voter(1)}, expect: []string{"n2", "n3"}},
		{about: "one of three is away", members: members(3), seats: []etcd.Seat{voter(1)}, away: []int{2}, expect: []string{"n3"}},
		{about: "broken off between the two", members: members(3), seats: []etcd.Seat{voter(1), learner(2, false)}, expect: []string{"n3"}},
		{about: "none has started", members: members(3), seats: []etcd.Seat{voter(1), learner(2, false), learner(3, false)}},
		{about: "one has started", members: members(3), seats: []etcd.Seat{voter(1), learner(2, true), learner(3, false)}},
		{about: "both have started", members: members(3), seats: []etcd.Seat{voter(1), learner(2, true), learner(3, true)}, promote: []string{"n2", "n3"}},
		{about: "both have started, one is away", members: members(3), seats: []etcd.Seat{voter(1), learner(2, true), learner(3, true)}, away: []int{3}},
		{about: "one was promoted", members: members(3), seats: []etcd.Seat{voter(1), voter(2), learner(3, true)}, promote: []string{"n3"}},
		{about: "three vote", members: members(4), seats: []etcd.Seat{voter(1), voter(2), voter(3)}},
		{about: "a voter is away and keeps its seat", members: members(4), seats: []etcd.Seat{voter(1), voter(2), voter(3)}, away: []int{3}},
		{about: "a voter was removed", members: members(4), seats: []etcd.Seat{voter(1), voter(2), voter(3)}, away: []int{3}, removed: []int{3}, drop: []uint64{3}},
		{about: "its seat is free", members: members(4), seats: []etcd.Seat{voter(1), voter(2)}, away: []int{3}, removed: []int{3}, expect: []string{"n4"}},
		{about: "nobody is left to take it", members: members(3), seats: []etcd.Seat{voter(1), voter(2)}, away: []int{3}, removed: []int{3}, drop: []uint64{2}},
		{about: "the first was removed", members: members(3), seats: []etcd.Seat{voter(2), voter(3)}, removed: []int{1}, leader: 3, drop: []uint64{2}},
		{about: "of two that are left one is away", members: members(2), seats: []etcd.Seat{voter(1), voter(2)}, away: []int{2}},
		{about: "the third is only away", members: members(3), seats: []etcd.Seat{voter(1), voter(2)}, away: []int{3}},
		{about: "who takes it has started", members: members(4), seats: []etcd.Seat{voter(1), voter(2), learner(4, true)}, removed: []int{3}, promote: []string{"n4"}},
		{about: "the third died before it started", members: members(3), seats: []etcd.Seat{voter(1), learner(2, true), learner(3, false)}, away: []int{3}},
		{about: "a fourth takes its place", members: members(4), seats: []etcd.Seat{voter(1), learner(2, true), learner(3, false)}, away: []int{3}, drop: []uint64{3}},
		{about: "a learner that has started is away", members: members(4), seats: []etcd.Seat{voter(1), learner(2, true), learner(3, true)}, away: []int{3}, drop: []uint64{3}},
		{about: "the third was removed before it started", members: members(3), seats: []etcd.Seat{voter(1), learner(2, true), learner(3, false)}, removed: []int{3}, drop: []uint64{3}},
		{about: "a learner moved before it started", members: members(3), seats: []etcd.Seat{voter(1), moved, learner(3, false)}, drop: []uint64{2}},
		{about: "a voter that nobody knows", members: members(2), seats: []etcd.Seat{voter(1), voter(2), voter(3)}},
	} {
		now := standing{alive: map[block.NodeID]bool{}, removed: map[block.NodeID]bool{}, leader: member(max(1, c.leader)).Node}
		for _, m := range c.members {
			now.alive[m.Node] = !slices.Contains(c.away, m.Seq)
			now.removed[m.Node] = slices.Contains(c.removed, m.Seq)
		}
		g := plan(c.members, c.seats, now)
		var drop []uint64
		var expect, promote []string
		for _, s := range g.drop {
			drop = append(drop, s.ID)
		}
		for _, m := range g.expect {
			expect = append(expect, m.Name)
		}
		for _, s := range g.promote {
			promote = append(promote, s.Name)
		}
		if !slices.Equal(drop, c.drop) || !slices.Equal(expect, c.expect) || !slices.Equal(promote, c.promote) {
			t.Errorf("%s: drops %x, expects %v, promotes %v; want %x, %v and %v", c.about, drop, expect, promote, c.drop, c.expect, c.promote)
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
