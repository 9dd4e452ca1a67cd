package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/etcd"
)

// seat returns the member that the cluster expects this node to start, if any. A
// member never starts twice: one whose data is gone has forgotten what it voted
// for, so the seat is given up and another takes it.
func (k *Keeper) seat(ctx context.Context, members []Member, seats []etcd.Seat) (*etcd.MemberParams, error) {
	seat := seatOf(seats, &k.p.Self)
	if seat == nil {
		return nil, nil
	}
	if seat.Name != "" { // it has started before
		has, err := etcd.HasMember(k.p.Member.Dir)
		if has || err != nil {
			return nil, err // it is being taken out
		}
		if !k.lost {
			k.lost = true
			k.p.Log.Warn("this node's member of the metadata store has lost its data, and its seat is given up for another",
				slog.String("directory", k.p.Member.Dir))
		}
		return nil, k.p.Store.Remove(ctx, seat.ID)
	}
	p := k.p.Member
	p.Join, p.Cluster = true, maps.Clone(p.Cluster)
	for i := range seats {
		if s := &seats[i]; s.ID != seat.ID {
			p.Cluster[nameOf(s, members, i)] = s.Peers
		}
	}
	return &p, nil
}

// nameOf returns some name for a seat: etcd wants one of each, and goes by URLs.
func nameOf(s *etcd.Seat, members []Member, number int) string {
	if s.Name != "" {
		return s.Name
	}
	for i := range members {
		if slices.Contains(s.Peers, members[i].Peer) {
			return members[i].Name
		}
	}
	return fmt.Sprintf("seat%d", number)
}

// grow does what the plan says. What fails is tried again with the next look.
func (k *Keeper) grow(ctx context.Context, r *metadata.Result, members []Member, seats []etcd.Seat) error {
	now := standingOf(r)
	now.leader = k.p.Dir.Node()
	g := plan(members, seats, now)
	for _, seat := range g.drop {
		k.p.Log.Info("seat in the metadata store is taken away", slog.String("node", nameOf(&seat, members, 0)), slog.Bool("voted", !seat.Learner))
		if err := k.p.Store.Remove(ctx, seat.ID); err != nil {
			return err
		}
	}
	if len(g.drop) == 0 {
		if err := k.forget(ctx, r, members, seats, now); err != nil {
			return err
		}
	}
	for _, m := range g.expect {
		k.p.Log.Info("node is to vote in the metadata store", slog.String("node", m.Name))
		if err := k.p.Store.AddLearner(ctx, m.Peer); err != nil {
			return err
		}
	}
	for _, seat := range g.promote {
		switch err := k.p.Store.Promote(ctx, seat.ID); {
		case errors.Is(err, etcd.ErrNotInSync):
			return nil
		case err != nil:
			return err
		}
		k.p.Log.Info("node votes in the metadata store", slog.String("node", seat.Name))
	}
	return nil
}

// standingOf reads which nodes are heard from, and which were removed.
func standingOf(r *metadata.Result) standing {
	now := standing{alive: map[block.NodeID]bool{}, removed: map[block.NodeID]bool{}}
	for _, item := range r.Items {
		for prefix, set := range map[string]map[block.NodeID]bool{volume.AlivePrefix: now.alive, volume.RemovedPrefix: now.removed} {
			var id block.NodeID
			if text, ok := strings.CutPrefix(item.Key, prefix); ok && id.UnmarshalText([]byte(text)) == nil {
				set[id] = true
			}
		}
	}
	return now
}

// forget makes the names of removed nodes free that have no seat any more.
func (k *Keeper) forget(ctx context.Context, r *metadata.Result, members []Member, seats []etcd.Seat, now standing) error {
	for i := range members {
		m := &members[i]
		if !now.removed[m.Node] || seatOf(seats, m) != nil {
			continue
		}
		item, _ := r.Find(membersPrefix + m.Name)
		txn := metadata.Txn{Guards: []metadata.Guard{{Key: item.Key, Revision: item.Revision}}, Ops: []metadata.Op{{Key: item.Key, Delete: true}}}
		if k.p.Store.Do(ctx, txn).Outcome == metadata.Unknown {
			return unanswered(fmt.Sprintf("node %s was not forgotten", m.Name))
		}
	}
	return nil
}

// note keeps whose members vote.
func (k *Keeper) note(members []Member, seats []etcd.Seat) {
	var voting []block.NodeID
	for i := range seats {
		if m := memberOf(members, &seats[i]); m != nil && !seats[i].Learner {
			voting = append(voting, m.Node)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.voting = voting
}

// Voting returns the nodes that vote in the metadata store, as last heard; none
// before anything was heard.
func (k *Keeper) Voting() []block.NodeID {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.voting)
}

// Admitted finds a node that was admitted, by its name or identity, whether or
// not it ever started.
func (k *Keeper) Admitted(ctx context.Context, text string) (id block.NodeID, name string, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	r := k.p.Store.Do(ctx, metadata.Txn{Read: []string{membersPrefix}})
	if r.Outcome != metadata.Applied {
		return id, "", false, unanswered("the members cannot be listed")
	}
	members, err := membersOf(&r)
	for i := range members {
		if m := &members[i]; m.Name == text || m.Node.String() == text {
			return m.Node, m.Name, true, err
		}
	}
	return id, "", false, err
}

// Withdraw takes the seat of a node away that was removed, and makes its name
// free, in this order: with the name the seat would go to whoever takes it. What
// it does not come to, the voter that leads does.
func (k *Keeper) Withdraw(ctx context.Context, node block.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	r := k.p.Store.Do(ctx, metadata.Txn{Read: []string{membersPrefix}})
	if r.Outcome != metadata.Applied {
		return unanswered("the members cannot be listed")
	}
	members, err := membersOf(&r)
	if err != nil {
		return err
	}
	members = slices.DeleteFunc(members, func(m Member) bool { return m.Node != node })
	if len(members) == 0 {
		return nil
	}
	if !k.external() { // else its seats are not ours
		seats, err := k.p.Store.Seats(ctx)
		if err != nil {
			return err
		}
		if seat := seatOf(seats, &members[0]); seat != nil {
			if err := k.p.Store.Remove(ctx, seat.ID); err != nil {
				return err
			}
		}
	}
	return k.forget(ctx, &r, members, nil, standing{removed: map[block.NodeID]bool{node: true}})
}
