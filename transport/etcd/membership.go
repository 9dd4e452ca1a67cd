package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// ErrNotInSync says that a learner has not yet caught up.
var ErrNotInSync = errors.New("learner has not caught up yet")

// Seat is a place in the membership of the store: a member that runs, or one
// that is expected.
type Seat struct {
	ID      uint64
	Name    string   // "" until the member has started for the first time
	Peers   []string // URLs
	Clients []string // URLs; none until the member has started
	Learner bool     // it receives everything and does not vote yet
}

// Seats returns the membership as a majority of the voters knows it.
func (s *Store) Seats(ctx context.Context) (seats []Seat, err error) {
	ctx, cancel := s.scope(ctx)
	defer cancel()
	err = s.read(ctx, func(ctx context.Context, e *endpoint) error {
		answer, err := e.client.MemberList(ctx)
		if err == nil {
			seats = seatsOf(answer.Members)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the members of the metadata store: %w", err)
	}
	return seats, nil
}

func seatsOf(members []*etcdserverpb.Member) (seats []Seat) {
	for _, m := range members {
		seats = append(seats, Seat{ID: m.ID, Name: m.Name, Peers: m.PeerURLs, Clients: m.ClientURLs, Learner: m.IsLearner})
	}
	return seats
}

// Leader returns the ID of the member that leads, as the member that is asked
// knows it.
func (s *Store) Leader(ctx context.Context) (id uint64, err error) {
	ctx, cancel := s.scope(ctx)
	defer cancel()
	err = s.read(ctx, func(ctx context.Context, e *endpoint) error {
		answer, err := e.client.Status(ctx, e.url)
		if err == nil && answer.Leader == 0 {
			err = rpctypes.ErrNoLeader
		}
		if err == nil {
			id = answer.Leader
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ask who leads the metadata store: %w", err)
	}
	return id, nil
}

// AddLearner makes the cluster expect a member at peer, which receives
// everything and does not vote. The member is then started with Join.
func (s *Store) AddLearner(ctx context.Context, peer string) error {
	err := s.once(ctx, func(ctx context.Context, e *endpoint) error {
		_, err := e.client.MemberAddAsLearner(ctx, []string{peer})
		return err
	})
	if err != nil && !isAny(err, rpctypes.ErrPeerURLExist, rpctypes.ErrMemberExist) {
		return fmt.Errorf("add the member at %s to the metadata store: %w", peer, err)
	}
	return nil
}

// Promote lets a learner vote. It returns ErrNotInSync while that would put the
// majority at risk: ask again later.
func (s *Store) Promote(ctx context.Context, id uint64) error {
	err := s.once(ctx, func(ctx context.Context, e *endpoint) error {
		_, err := e.client.MemberPromote(ctx, id)
		return err
	})
	switch {
	case errors.Is(err, rpctypes.ErrMemberLearnerNotReady):
		return ErrNotInSync
	case err != nil && !errors.Is(err, rpctypes.ErrMemberNotLearner):
		return fmt.Errorf("let member %x of the metadata store vote: %w", id, err)
	}
	return nil
}

// Remove takes a member out for good: it stops by itself, and its data is worth
// nothing any more. One that is out already is fine. It is refused while the rest
// would be no majority.
func (s *Store) Remove(ctx context.Context, id uint64) error {
	err := s.once(ctx, func(ctx context.Context, e *endpoint) error {
		_, err := e.client.MemberRemove(ctx, id)
		return err
	})
	if err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return fmt.Errorf("remove member %x from the metadata store: %w", id, err)
	}
	return nil
}

// Move tells the others that a member has other peer URLs now.
func (s *Store) Move(ctx context.Context, id uint64, peers []string) error {
	err := s.once(ctx, func(ctx context.Context, e *endpoint) error {
		_, err := e.client.MemberUpdate(ctx, id, peers)
		return err
	})
	if err != nil {
		return fmt.Errorf("move member %x of the metadata store to %v: %w", id, peers, err)
	}
	return nil
}

// once asks one endpoint. Whoever changes the membership looks at it again
// before the next try, so that an unknown outcome does no harm.
func (s *Store) once(ctx context.Context, ask func(context.Context, *endpoint) error) error {
	ctx, cancel := s.scope(ctx)
	defer cancel()
	e, turn := s.endpoints.pick()
	ctx, stop := context.WithTimeout(ctx, readTryMax)
	defer stop()
	err := ask(ctx, e)
	if err != nil {
		s.endpoints.failed(turn)
	}
	return err
}

// SetEndpoints replaces the members that the store asks, the nearest first.
func (s *Store) SetEndpoints(ctx context.Context, urls []string) error {
	if len(urls) == 0 {
		return errors.New("replace the endpoints of the metadata store: none is given: name at least one")
	}
	return s.endpoints.set(ctx, slices.Clone(urls))
}
