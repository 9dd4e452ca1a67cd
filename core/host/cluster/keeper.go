package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/etcd"
	"github.com/lagan-storage/lagan/transport/identity"
)

const (
	// lookEvery is how often a node asks who votes while that changes: a cluster
	// that grows waits for it a few times. With all voters there the voters, one of
	// whom acts when one is removed, ask every lookVoting, and all others every
	// lookSeldom, so that a thousand nodes ask a hundred times a second.
	lookEvery  = time.Second
	lookVoting = 2 * time.Second
	lookSeldom = 10 * time.Second
	// lookWithin bounds one look.
	lookWithin = 10 * time.Second
)

// Membership is the metadata store as a Keeper uses it; transport/etcd is one.
type Membership interface {
	Store
	Reach(ctx context.Context) error
	Seats(ctx context.Context) ([]etcd.Seat, error)
	AddLearner(ctx context.Context, peer string) error
	Promote(ctx context.Context, id uint64) error
	Remove(ctx context.Context, id uint64) error
	Move(ctx context.Context, id uint64, peers []string) error
	SetEndpoints(ctx context.Context, urls []string) error
}

// KeeperParams is what a Keeper is made from.
type KeeperParams struct {
	Store  Membership
	Dir    *datadir.Dir
	TLSDir string            // of the node's identity
	Member etcd.MemberParams // of this node; Cluster holds its own peer URL
	Client string            // URL where this node's member serves clients
	Self   Member            // this node's record; Seq and Node of a new one are set here
	// Founded hears the first token of a new cluster.
	Founded func(volume.TokenReport)
	Tokens  *Admissions
	// Failed hears why the node cannot go on.
	Failed func(error)
	Log    *slog.Logger
}

// Keeper runs this node's member of the metadata store, if it has one, keeps the
// list of voters, and lets the cluster grow if its member leads. Where others run
// the store it founds the cluster, and says where this node is.
type Keeper struct {
	p KeeperParams

	mu        sync.Mutex // guards what follows
	member    *etcd.Member
	endpoints []string
	voting    []block.NodeID
	founding  bool // the authority is not in the store yet

	lost     bool           // the loss of the member's data was told; of Run
	settled  bool           // all voters are there; of Run
	missed   bool           // the last look found no store; of Run
	watching sync.WaitGroup // for the member's end
}

// NewKeeper returns a keeper that does nothing yet.
func NewKeeper(p KeeperParams) *Keeper {
	k := &Keeper{p: p}
	if c := p.Dir.Cluster(); c != nil {
		k.endpoints = slices.Clone(c.Endpoints)
	}
	return k
}

// Endpoints returns the client URLs of the voters, as last heard.
func (k *Keeper) Endpoints() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.endpoints)
}

// Run keeps until ctx ends. It waits for no majority but here.
func (k *Keeper) Run(ctx context.Context) {
	authority, err := k.founder()
	has, hasErr := etcd.HasMember(k.p.Member.Dir)
	if err = errors.Join(err, hasErr); err != nil {
		k.p.Failed(err)
		return
	}
	if has || authority != nil && !k.external() {
		k.p.Log.Info("member of the metadata store starts; it serves when a majority is up", slog.String("peer", k.p.Self.Peer))
		err := k.start(ctx, k.p.Member)
		if errors.Is(err, etcd.ErrMemberRemoved) && authority == nil {
			err = k.discard() // it goes on as a client, and is told if it was removed itself
		}
		if err != nil {
			if ctx.Err() == nil {
				k.p.Failed(err)
			}
			return
		}
	}
	for ctx.Err() == nil {
		var join *etcd.MemberParams
		var err error
		if authority != nil {
			err = k.found(ctx, authority)
		}
		if err == nil {
			authority = nil
			join, err = k.look(ctx)
		}
		k.tell(ctx, err)
		if join != nil {
			k.p.Log.Info("this node is to vote in the metadata store", slog.String("peer", k.p.Self.Peer))
			if err := k.start(ctx, *join); err != nil && ctx.Err() == nil {
				k.p.Log.Warn("member of the metadata store was not started, and is tried again", slog.Any("error", err))
			}
		}
		switch {
		case !k.settled || err != nil:
			pause(ctx, lookEvery)
		case k.running() != nil:
			pause(ctx, lookVoting)
		default:
			pause(ctx, lookSeldom)
		}
	}
}

// Founding reports whether the cluster is still being founded by this node: until
// that is done nobody can be admitted.
func (k *Keeper) Founding() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.founding
}

// founder returns the authority if this node has it, and has not yet put it into
// the store.
func (k *Keeper) founder() (*identity.Authority, error) {
	authority, err := unfounded(k.p.TLSDir)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.founding = authority != nil
	return authority, err
}

// discard removes the data of this node's member, which the others took out.
func (k *Keeper) discard() error {
	k.p.Log.Warn("this node's member of the metadata store was taken out, its data is removed", slog.String("directory", k.p.Member.Dir))
	return etcd.Discard(k.p.Member.Dir)
}

// external reports whether others run the metadata store.
func (k *Keeper) external() bool { return k.p.Dir.Cluster().External }

// tell logs what came of a look. About members of ours the members say more.
func (k *Keeper) tell(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && k.external() && !k.missed:
		k.p.Log.Warn("metadata store does not answer this node", slog.Any("error", err))
	case err != nil:
		k.p.Log.Debug("metadata store was not looked at", slog.Any("error", err))
	case k.missed && k.external():
		k.p.Log.Info("metadata store answers", slog.Any("endpoints", k.Endpoints()))
	}
	k.missed = err != nil
}

// Close stops the member, after Run has returned and nobody uses the store.
func (k *Keeper) Close(ctx context.Context) error {
	defer k.watching.Wait()
	if m := k.running(); m != nil {
		return m.Close(ctx)
	}
	return nil
}

func (k *Keeper) running() *etcd.Member {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.member
}

// start starts the member, and has Failed hear of its end.
func (k *Keeper) start(ctx context.Context, p etcd.MemberParams) error {
	m, err := etcd.StartMember(ctx, p)
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.member = m
	k.mu.Unlock()
	k.p.Log.Info("member of the metadata store serves", slog.String("endpoint", m.Endpoint()))
	k.watching.Go(func() { // ends with ctx, or with the member
		err := m.Wait(ctx)
		if errors.Is(err, etcd.ErrMemberRemoved) {
			err = k.leave(ctx, m)
		}
		if err != nil && ctx.Err() == nil {
			k.p.Failed(err)
		}
	})
	return nil
}

// leave ends a member that the others took out while it ran. The node goes on as
// a client.
func (k *Keeper) leave(ctx context.Context, m *etcd.Member) error {
	if err := m.Close(ctx); err != nil {
		return err
	}
	k.mu.Lock()
	k.member = nil
	k.mu.Unlock()
	return k.discard()
}

// look does what is to be done now. join, if not nil, is the member that this
// node is to start.
func (k *Keeper) look(ctx context.Context) (join *etcd.MemberParams, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	var seats []etcd.Seat
	if k.external() {
		err = k.p.Store.Reach(ctx) // it knows the reason, which a transaction does not tell
	} else if seats, err = k.p.Store.Seats(ctx); err == nil {
		err = k.remember(ctx, seats)
	}
	if err != nil {
		return nil, err
	}
	own := k.running()
	leads := own != nil && own.Leading()
	read := []string{membersPrefix}
	if leads { // nobody else needs to know how all nodes are doing
		read = append(read, volume.AlivePrefix, volume.RemovedPrefix)
	}
	r := k.p.Store.Do(ctx, metadata.Txn{Read: read})
	if r.Outcome != metadata.Applied {
		return nil, unanswered("the members cannot be listed")
	}
	members, err := membersOf(&r)
	if err == nil {
		err = k.move(ctx, &r, members, seats)
	}
	if err != nil {
		return nil, err
	}
	k.note(members, seats)
	k.settled = k.external() || len(seats) >= votersMax && !slices.ContainsFunc(seats, func(s etcd.Seat) bool { return s.Learner })
	switch {
	case k.external():
		return nil, nil
	case own == nil:
		return k.seat(ctx, members, seats)
	case leads:
		return nil, k.grow(ctx, &r, members, seats)
	}
	return nil, nil
}

// found puts the authority and the first node's record into the store, and only
// then removes the key from this machine.
func (k *Keeper) found(ctx context.Context, authority *identity.Authority) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	if err := k.p.Store.Reach(ctx); err != nil {
		return err
	}
	key, err := authority.Key()
	if err != nil {
		return err
	}
	a, err := put(authorityKey, authorityRecord{Format: format, Cluster: k.p.Dir.Cluster().Name, Certificate: authority.Certificate(), Key: key})
	if err != nil {
		return err
	}
	self := k.p.Self
	self.Format, self.Seq, self.Node = format, 1, k.p.Dir.Node()
	m, err := put(membersPrefix+self.Name, self)
	if err != nil {
		return err
	}
	r := k.p.Store.Do(ctx, metadata.Txn{Guards: []metadata.Guard{{Key: authorityKey}}, Ops: []metadata.Op{a, m}, Read: []string{authorityKey}})
	item, found := r.Find(authorityKey)
	switch {
	case r.Outcome == metadata.Unknown || !found:
		return unanswered("the authority was not stored")
	case string(item.Value) != string(a.Value):
		// Two nodes founded a cluster in one store at once, and this one lost.
		other, err := decode[authorityRecord](item)
		if err == nil {
			err = fmt.Errorf("%w: before that, remove the data directory, which belongs to no cluster", occupied(&other))
		}
		k.p.Failed(err)
		return err
	}
	token, err := k.p.Tokens.CreateToken(ctx, 0)
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(k.p.TLSDir, identity.AuthorityKeyFile)); err != nil {
		return fmt.Errorf("remove the authority's key, which is in the metadata store now: %w", err)
	}
	k.mu.Lock()
	k.founding = false
	k.mu.Unlock()
	k.p.Log.Info("cluster is founded", slog.String("cluster", k.p.Dir.Cluster().Name))
	k.p.Founded(token)
	return nil
}

// remember keeps where the voters are.
func (k *Keeper) remember(ctx context.Context, seats []etcd.Seat) error {
	urls := votersOf(seats, k.p.Client)
	if len(urls) == 0 || slices.Equal(urls, k.Endpoints()) {
		return nil
	}
	if err := errors.Join(k.p.Store.SetEndpoints(ctx, urls), k.p.Dir.SetEndpoints(urls)); err != nil {
		return err
	}
	k.p.Log.Info("voters of the metadata store", slog.Any("endpoints", urls))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.endpoints = urls
	return nil
}

// move tells the others when this node's addresses have changed.
func (k *Keeper) move(ctx context.Context, r *metadata.Result, members []Member, seats []etcd.Seat) error {
	i := slices.IndexFunc(members, func(m Member) bool { return m.Node == k.p.Dir.Node() })
	if i < 0 {
		return nil // it was removed, or never admitted
	}
	m, self := members[i], k.p.Self
	if own := k.running(); own != nil {
		for _, seat := range seats {
			if seat.ID == own.ID() && !slices.Equal(seat.Peers, []string{self.Peer}) {
				if err := k.p.Store.Move(ctx, seat.ID, []string{self.Peer}); err != nil {
					return err
				}
			}
		}
	}
	if m.API == self.API && m.Peer == self.Peer && m.Client == self.Client {
		return nil
	}
	m.API, m.Peer, m.Client = self.API, self.Peer, self.Client
	op, err := put(membersPrefix+m.Name, m)
	if err != nil {
		return err
	}
	item, _ := r.Find(op.Key)
	if k.p.Store.Do(ctx, metadata.Txn{Guards: []metadata.Guard{{Key: op.Key, Revision: item.Revision}}, Ops: []metadata.Op{op}}).Outcome != metadata.Applied {
		return unanswered("the node's new addresses were not recorded")
	}
	return nil
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-bounded.Done()
}
