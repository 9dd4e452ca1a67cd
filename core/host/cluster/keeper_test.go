package cluster

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/etcd"
	"github.com/lagan-storage/lagan/transport/identity"
)

// council is a metadata store with a membership that a test sets.
type council struct {
	*memory
	seats []etcd.Seat
	asked []string // endpoints

	unreached error
}

func (c *council) Reach(context.Context) error                { return c.unreached }
func (c *council) Seats(context.Context) ([]etcd.Seat, error) { return c.seats, nil }
func (c *council) AddLearner(context.Context, string) error   { return nil }
func (c *council) Promote(context.Context, uint64) error      { return nil }
func (c *council) Remove(_ context.Context, id uint64) error {
	c.seats = slices.DeleteFunc(c.seats, func(s etcd.Seat) bool { return s.ID == id })
	return nil
}
func (c *council) Move(context.Context, uint64, []string) error        { return nil }
func (c *council) SetEndpoints(_ context.Context, urls []string) error { c.asked = urls; return nil }

// newKeeper returns the keeper of a first node whose member does not run.
func newKeeper(t *testing.T, c *council, told *[]volume.TokenReport, external ...string) *Keeper {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	if err := Found(path, datadir.Settings{Cluster: "lagan", Name: "n1"}, external, time.Now()); err != nil {
		t.Fatal(err)
	}
	dir, err := datadir.Open(path, block.NodeID{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	self := member(1)
	self.API, self.Client = "n1:7301", "https://n1:7303"
	var k *Keeper
	admissions := NewAdmissions(Params{
		Store: c, API: self.API, Scheme: Scheme, Now: time.Now, Endpoints: func() []string { return k.Endpoints() },
	})
	k = NewKeeper(KeeperParams{
		Store: c, Dir: dir, TLSDir: filepath.Join(path, datadir.TLSDir), Client: self.Client, Self: self, Tokens: admissions,
		Member:  etcd.MemberParams{Name: self.Name, Dir: filepath.Join(path, "etcd"), Cluster: map[string][]string{self.Name: {self.Peer}}},
		Founded: func(r volume.TokenReport) { *told = append(*told, r) },
		Log:     slog.New(slog.DiscardHandler),
	})
	return k
}

func TestFoundingMovesTheKeyIntoTheStore(t *testing.T) {
	var told []volume.TokenReport
	c := &council{memory: newGate(t).store, seats: []etcd.Seat{voter(1)}}
	clear(c.items)
	k := newKeeper(t, c, &told)
	authority, err := unfounded(k.p.TLSDir)
	if err != nil || authority == nil {
		t.Fatalf("a new node has authority %v, %v", authority, err)
	}
	key := filepath.Join(k.p.TLSDir, identity.AuthorityKeyFile)
	c.silent = true
	if err := k.found(t.Context(), authority); !errors.Is(err, volume.ErrOutcomeUnknown) {
		t.Errorf("founding without a store: %v", err)
	}
	if _, err := os.Stat(key); err != nil {
		t.Fatalf("the key is gone before the store has it: %v", err)
	}
	c.silent = false
	if err := k.found(t.Context(), authority); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the key is here still: %v", err)
	}
	// Killed between the store and the removal, a node founds once more.
	if err := identity.SaveAuthority(k.p.TLSDir, authority); err != nil {
		t.Fatal(err)
	}
	if err := k.found(t.Context(), authority); err != nil || len(told) != 2 {
		t.Errorf("founding again: %v, told %d tokens", err, len(told))
	}
	if m, err := decode[Member](c.items[membersPrefix+"n1"]); err != nil || m.Seq != 1 || m.Node != k.p.Dir.Node() {
		t.Errorf("recorded %+v, %v", m, err)
	}
	// Another cluster's store is not taken for its own, now or later.
	other, err := identity.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	k.p.Failed = func(err error) { failed = err }
	if err := k.found(t.Context(), other); err == nil || failed == nil || !strings.Contains(failed.Error(), "lagan join") {
		t.Errorf("the store of another cluster: %v, told %v", err, failed)
	}
}

func TestKeeperFoundsUntilTheAuthorityIsInTheStore(t *testing.T) {
	var told []volume.TokenReport
	c := &council{memory: newGate(t).store, seats: []etcd.Seat{voter(1)}}
	clear(c.items)
	k := newKeeper(t, c, &told)
	authority, err := k.founder()
	if err != nil {
		t.Fatal(err)
	}
	if !k.Founding() {
		t.Error("a node that has the authority's key founds nothing")
	}
	if err := k.found(t.Context(), authority); err != nil {
		t.Fatal(err)
	}
	if authority, err := k.founder(); authority != nil || err != nil || k.Founding() {
		t.Errorf("a node that has founded its cluster does so again: %v", err)
	}
}

func TestKeeperRemembersTheVoters(t *testing.T) {
	var told []volume.TokenReport
	c := &council{memory: newGate(t).store, seats: []etcd.Seat{voter(2), voter(1), learner(3, true)}}
	k := newKeeper(t, c, &told)
	if _, err := k.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"https://n1:7303", "https://n2:7303"}
	_, known, err := datadir.Lookup(filepath.Dir(k.p.TLSDir))
	if err != nil || !slices.Equal(c.asked, want) || !slices.Equal(k.Endpoints(), want) || !slices.Equal(known.Endpoints, want) {
		t.Errorf("asks %v, tells %v, remembers %+v, %v; want %v", c.asked, k.Endpoints(), known, err, want)
	}
}

func TestMemberIsStartedOnceTheClusterExpectsIt(t *testing.T) {
	var told []volume.TokenReport
	c := &council{memory: newGate(t).store}
	k := newKeeper(t, c, &told)
	for _, x := range []struct {
		about string
		seats []etcd.Seat
		join  bool
	}{
		{"nobody expects it", []etcd.Seat{voter(2)}, false},
		{"it is expected", []etcd.Seat{voter(2), learner(1, false), learner(3, false)}, true},
		{"it was started before, and lost its data", []etcd.Seat{voter(2), learner(1, true)}, false},
		{"it voted, and lost its data", []etcd.Seat{voter(2), voter(3), voter(1)}, false},
	} {
		c.seats = x.seats
		p, err := k.look(t.Context())
		if err != nil || (p != nil) != x.join {
			t.Errorf("%s: %+v, %v", x.about, p, err)
		}
		if p != nil && (!p.Join || len(p.Cluster) != len(x.seats) || p.Cluster["n1"][0] != k.p.Self.Peer) {
			t.Errorf("%s: it is started with %v", x.about, p.Cluster)
		}
		if lost := strings.Contains(x.about, "lost"); lost != (len(c.seats) < len(x.seats)) {
			t.Errorf("%s: seats %+v of %+v are left", x.about, c.seats, x.seats)
		}
	}
}

func TestClusterIsFoundedInAStoreThatOthersRun(t *testing.T) {
	var told []volume.TokenReport
	c := &council{memory: newGate(t).store}
	clear(c.items)
	k := newKeeper(t, c, &told, "https://e:2379")
	authority, err := unfounded(k.p.TLSDir)
	if err != nil || authority == nil {
		t.Fatalf("a new node has authority %v, %v", authority, err)
	}
	c.unreached = errors.New("no route to e")
	if err := k.found(t.Context(), authority); !errors.Is(err, c.unreached) || len(c.items) > 0 {
		t.Errorf("founding without the store: %v, stored %v", err, c.items)
	}
	c.unreached = nil
	if err := k.found(t.Context(), authority); err != nil || len(told) != 1 {
		t.Fatalf("founding: %v, told %d tokens", err, len(told))
	}
	// There are no seats, and the endpoints are those that were given.
	if join, err := k.look(t.Context()); err != nil || join != nil || !k.settled {
		t.Errorf("a look: %v, %v, settled is %v", join, err, k.settled)
	}
	if got := k.Endpoints(); len(got) != 1 || got[0] != "https://e:2379" || c.asked != nil {
		t.Errorf("tells %v, asks %v", got, c.asked)
	}
}

func TestStoreHasRoomForOneCluster(t *testing.T) {
	g := newGate(t)
	v := &council{memory: g.store}
	if err := Vacant(t.Context(), v); err == nil || !strings.Contains(err.Error(), "lagan join") {
		t.Errorf("a store with a cluster: %v", err)
	}
	clear(g.store.items)
	if err := Vacant(t.Context(), v); err != nil {
		t.Errorf("an empty store: %v", err)
	}
	v.unreached = errors.New("certificate signed by unknown authority")
	if err := Vacant(t.Context(), v); !errors.Is(err, v.unreached) || !strings.Contains(err.Error(), "--etcd-ca") {
		t.Errorf("a store that refuses: %v", err)
	}
}
