package etcd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// await asks until holds says yes, for as long as a test may take.
func await(t *testing.T, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !holds() {
		if ctx.Err() != nil {
			t.Fatal("waited in vain")
		}
		pause(ctx, 20*time.Millisecond)
	}
}

func TestClusterGrowsFromOneVoterToThree(t *testing.T) {
	c := newCluster(t, 1, nil)
	s := c.open()
	insist(t, s, put("/w/before", "1"))
	ports := freePorts(t, 4)
	first := c.params[0]
	membership := map[string][]string{first.Name: first.Cluster[first.Name]}
	for i := range 2 {
		url := "http://" + address(ports[i])
		if err := errors.Join(s.AddLearner(t.Context(), url), s.AddLearner(t.Context(), url)); err != nil {
			t.Fatal(err)
		}
		membership[memberName(i+1)] = []string{url}
	}
	for i := range 2 {
		p := first
		p.Name, p.Dir, p.Cluster, p.Join = memberName(i+1), t.TempDir(), membership, true
		p.ListenPeer, p.ListenClient, p.AdvertiseClient = "", address(ports[2+i]), ""
		m, err := StartMember(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(t, m) })
		if has, err := HasMember(p.Dir); !has || err != nil {
			t.Errorf("directory of a member that runs: %v, %v", has, err)
		}
	}
	await(t, func() bool {
		seats, err := s.Seats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		voters := 0
		for _, seat := range seats {
			if !seat.Learner {
				voters++
				continue
			}
			if err := s.Promote(t.Context(), seat.ID); err != nil {
				t.Logf("not yet: %v", err)
			}
		}
		return voters == 3
	})
	// A client of the new ones alone reads what was before them.
	urls := []string{"http://" + address(ports[2]), "http://" + address(ports[3])}
	if err := s.SetEndpoints(t.Context(), urls); err != nil {
		t.Fatal(err)
	}
	stop(t, c.members[0])
	insist(t, s, put("/w/after", "2"))
	if err := s.SetEndpoints(t.Context(), nil); err == nil {
		t.Error("a store without endpoints was taken")
	}
}

func TestEmptyDirectoryHasNoMember(t *testing.T) {
	has, err := HasMember(filepath.Join(t.TempDir(), "etcd"))
	if has || err != nil {
		t.Errorf("an empty directory: %v", fmt.Sprint(has, err))
	}
}

func TestRemovedMemberIsToldWhetherItRunsOrReturns(t *testing.T) {
	c := newCluster(t, 3, nil)
	s := c.open()
	insist(t, s, put("/w/before", "1"))
	seat := func(name string) Seat {
		seats, err := s.Seats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, seat := range seats {
			if seat.Name == name {
				return seat
			}
		}
		return Seat{}
	}
	leader := c.leader()
	away := (leader + 1) % 3
	c.stopOne(away)
	id := seat(memberName(away)).ID
	if err := errors.Join(s.Remove(t.Context(), id), s.Remove(t.Context(), id)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := StartMember(ctx, c.params[away]); !errors.Is(err, ErrMemberRemoved) {
		t.Errorf("a member that was removed while it was away: %v", err)
	}
	if err := Discard(c.params[away].Dir); err != nil {
		t.Error(err)
	}
	if has, err := HasMember(c.params[away].Dir); has || err != nil {
		t.Errorf("its data is left: %v, %v", has, err)
	}
	// With two of two there, one that runs may be taken out.
	running := (leader + 2) % 3
	await(t, func() bool { return s.Remove(t.Context(), seat(memberName(running)).ID) == nil })
	if err := c.members[running].Wait(ctx); !errors.Is(err, ErrMemberRemoved) {
		t.Errorf("a member that was removed while it ran: %v", err)
	}
	insist(t, s, put("/w/after", "2"))
}

func TestLeaderIsKnownToAllAndReplaced(t *testing.T) {
	c := newCluster(t, 3, nil)
	s := c.open()
	insist(t, s, put("/w/before", "1"))
	leads := c.leader()
	if id, err := s.Leader(t.Context()); err != nil || id != c.members[leads].ID() {
		t.Errorf("member %x leads, %v, want %x", id, err, c.members[leads].ID())
	}
	former := c.members[leads].ID()
	c.stopOne(leads)
	await(t, func() bool {
		id, err := s.Leader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return id != former
	})
}
