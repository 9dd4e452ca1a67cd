package cluster

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/identity"
)

// memory is a metadata store of one process.
type memory struct {
	items    map[string]metadata.Item
	revision metadata.Revision
	silent   bool   // nobody answers
	before   func() // comes between a reader and its write
}

func (m *memory) Do(_ context.Context, txn metadata.Txn) (r metadata.Result) {
	if m.silent {
		return metadata.Result{}
	}
	if before := m.before; len(txn.Ops) > 0 && before != nil {
		m.before = nil
		before()
	}
	r.Outcome = metadata.Applied
	for _, g := range txn.Guards {
		if m.items[g.Key].Revision != g.Revision {
			r.Outcome = metadata.Refused
		}
	}
	if r.Outcome == metadata.Applied && len(txn.Ops) > 0 {
		m.revision++
		for _, op := range txn.Ops {
			if op.Delete {
				delete(m.items, op.Key)
				continue
			}
			m.items[op.Key] = metadata.Item{Key: op.Key, Value: op.Value, Revision: m.revision}
		}
	}
	for key, item := range m.items {
		if slices.ContainsFunc(txn.Read, func(asked string) bool {
			return asked == key || strings.HasSuffix(asked, "/") && strings.HasPrefix(key, asked)
		}) {
			r.Items = append(r.Items, item)
		}
	}
	slices.SortFunc(r.Items, func(a, b metadata.Item) int { return cmp.Compare(a.Key, b.Key) })
	return r
}

// gate is the admissions of a cluster that was founded.
type gate struct {
	*Admissions
	t         *testing.T
	store     *memory
	now       time.Time
	authority *identity.Authority
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{t: t, store: &memory{items: map[string]metadata.Item{}}, now: time.Now()}
	var err error
	if g.authority, err = identity.NewAuthority(g.now); err != nil {
		t.Fatal(err)
	}
	key, err := g.authority.Key()
	if err != nil {
		t.Fatal(err)
	}
	op, err := put(authorityKey, authorityRecord{Format: format, Cluster: "lagan", Certificate: g.authority.Certificate(), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	g.store.Do(t.Context(), metadata.Txn{Ops: []metadata.Op{op}})
	g.Admissions = NewAdmissions(Params{
		Store: g.store, API: "a:7301", Scheme: Scheme, Now: func() time.Time { return g.now },
		Endpoints: func() []string { return []string{"https://a:7303"} },
	})
	return g
}

func (g *gate) token() identity.Token {
	g.t.Helper()
	report, err := g.CreateToken(g.t.Context(), 0)
	if err != nil {
		g.t.Fatal(err)
	}
	token, err := identity.ParseToken(report.Text)
	if err != nil || report.API != "a:7301" {
		g.t.Fatalf("token %+v, %v", report, err)
	}
	return token
}

// join makes the directory of a node called name.
func (g *gate) join(path, name string, token identity.Token) error {
	addresses := Addresses{API: name + ":7301", EtcdPeer: name + ":7302", EtcdClient: name + ":7303"}
	return Join(g.t.Context(), path, datadir.Settings{Name: name}, addresses, token, g.Join)
}

func TestNodesAreAdmittedByToken(t *testing.T) {
	g := newGate(t)
	token := g.token()
	for key, item := range g.store.items {
		if strings.Contains(string(item.Value), token.Secret) {
			t.Errorf("record %s has the token's secret: %s", key, item.Value)
		}
	}
	root := t.TempDir()
	for i, name := range []string{"b", "c"} {
		path := filepath.Join(root, name)
		if err := g.join(path, name, token); err != nil {
			t.Fatal(err)
		}
		settings, known, err := datadir.Lookup(path)
		if err != nil || settings.Cluster != "lagan" || known.Endpoints[0] != "https://a:7303" {
			t.Errorf("node %s: %+v, %+v, %v", name, settings, known, err)
		}
		id, err := identity.Load(filepath.Join(path, datadir.TLSDir))
		if err != nil {
			t.Fatal(err)
		}
		m, err := decode[Member](g.store.items[membersPrefix+name])
		if err != nil || m.Node != id.Node || m.Seq != i+1 || m.Peer != "https://"+name+":7302" {
			t.Errorf("recorded %+v, %v for node %v", m, err, id.Node)
		}
	}
}

func TestRefusedNodesChangeNothing(t *testing.T) {
	g := newGate(t)
	token := g.token()
	root := t.TempDir()
	if err := g.join(filepath.Join(root, "b"), "b", token); err != nil {
		t.Fatal(err)
	}
	b, err := decode[Member](g.store.items[membersPrefix+"b"])
	if err != nil {
		t.Fatal(err)
	}
	g.store.Do(t.Context(), metadata.Txn{Ops: []metadata.Op{{Key: volume.NodeKey(b.Node), Value: []byte("{}")}}}) // it has started
	guessed, unknown, damaged := token, identity.NewToken(token.Authority), token
	guessed.Secret, damaged.ID = unknown.Secret, "../authority"
	other := newGate(t).token()
	foreign := token // asks this cluster, and wants another's authority
	foreign.Authority = other.Authority
	for _, c := range []struct {
		about string
		name  string
		token identity.Token
		want  error
	}{
		{"a guessed secret", "c", guessed, volume.ErrTokenRefused},
		{"an unknown token", "c", unknown, volume.ErrTokenRefused},
		{"a token with a path", "c", damaged, volume.ErrTokenRefused},
		{"a token of another cluster", "c", other, volume.ErrTokenRefused},
		{"a name that is taken", "b", token, volume.ErrNodeNameTaken},
		{"a name that is none", "c/d", token, volume.ErrInvalidName},
	} {
		before := g.store.revision
		path := filepath.Join(root, "c")
		err := g.join(path, c.name, c.token)
		if !errors.Is(err, c.want) || g.store.revision != before {
			t.Errorf("%s: %v, want %v; revision %d, was %d", c.about, err, c.want, g.store.revision, before)
		}
		if left, globErr := filepath.Glob(filepath.Join(root, "c*")); globErr != nil || len(left) > 0 {
			t.Errorf("%s left %v, %v", c.about, left, globErr)
		}
	}
	if err := g.join(filepath.Join(root, "c"), "c", foreign); !errors.Is(err, identity.ErrOtherAuthority) {
		t.Errorf("an answer of another authority: %v", err)
	}
}

func TestJoinWhoseAnswerWasLostMayBeMadeAgain(t *testing.T) {
	g := newGate(t)
	token, another := g.token(), g.token()
	root := t.TempDir()
	ask := func(name, api string, token identity.Token, lost bool) error {
		a := Addresses{API: api, EtcdPeer: api + "2", EtcdClient: api + "3"}
		return Join(t.Context(), filepath.Join(root, name+api), datadir.Settings{Name: name}, a, token,
			func(ctx context.Context, j volume.JoinRequest) (volume.JoinAnswer, error) {
				answer, err := g.Join(ctx, j)
				if err == nil && lost {
					return volume.JoinAnswer{}, context.DeadlineExceeded
				}
				return answer, err
			})
	}
	if err := ask("b", "b:1", token, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	first, err := decode[Member](g.store.items[membersPrefix+"b"])
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []struct {
		api   string
		token identity.Token
	}{{"c:1", token}, {"b:1", another}} {
		if err := ask("b", other.api, other.token, false); !errors.Is(err, volume.ErrNodeNameTaken) {
			t.Errorf("another machine, or another token: %v", err)
		}
	}
	if err := ask("b", "b:1", token, false); err != nil {
		t.Fatal(err)
	}
	again, err := decode[Member](g.store.items[membersPrefix+"b"])
	id, loadErr := identity.Load(filepath.Join(root, "bb:1", datadir.TLSDir))
	if err != nil || loadErr != nil || again != first || id.Node != first.Node {
		t.Errorf("recorded %+v, was %+v, certificate for %v; %v, %v", again, first, id, err, loadErr)
	}
	// Once it has started the name is its own, and so it is once it was removed.
	for _, key := range []string{volume.NodeKey(first.Node), volume.RemovedKey(first.Node)} {
		g.store.items[key] = metadata.Item{Key: key, Value: []byte("{}"), Revision: 1}
		if err := os.RemoveAll(filepath.Join(root, "bb:1")); err != nil {
			t.Fatal(err)
		}
		if err := ask("b", "b:1", token, false); !errors.Is(err, volume.ErrNodeNameTaken) {
			t.Errorf("with %s: %v", key, err)
		}
		delete(g.store.items, key)
	}
	// It starts while its second request is looked at.
	g.store.before = func() {
		key := volume.NodeKey(first.Node)
		g.store.items[key] = metadata.Item{Key: key, Value: []byte("{}"), Revision: 1}
	}
	if err := ask("b", "b:1", token, false); !errors.Is(err, volume.ErrBusy) {
		t.Errorf("a node that starts meanwhile: %v", err)
	}
}

func TestTokenEndsWithItsTimeOrItsRemoval(t *testing.T) {
	g := newGate(t)
	first, second := g.token(), g.token()
	if err := g.RemoveToken(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	if err := g.RemoveToken(t.Context(), first.ID); !errors.Is(err, volume.ErrTokenNotFound) {
		t.Errorf("removing it again: %v", err)
	}
	root := t.TempDir()
	if err := g.join(filepath.Join(root, "b"), "b", first); !errors.Is(err, volume.ErrTokenRefused) {
		t.Errorf("a token that was removed: %v", err)
	}
	// It is removed between the look at it and the admission.
	g.store.before = func() { delete(g.store.items, tokensPrefix+second.ID) }
	if err := g.join(filepath.Join(root, "b"), "b", second); !errors.Is(err, volume.ErrBusy) {
		t.Errorf("a token that was removed meanwhile: %v", err)
	}
	third := g.token()
	g.now = g.now.Add(TokenTTL + time.Second)
	if err := g.join(filepath.Join(root, "b"), "b", third); !errors.Is(err, volume.ErrTokenRefused) {
		t.Errorf("a token that ran out: %v", err)
	}
	if all, err := g.Tokens(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("tokens that can be used: %v, %v", all, err)
	}
	g.token()
	if _, there := g.store.items[tokensPrefix+third.ID]; there {
		t.Error("the making of another did not remove what ran out")
	}
	for _, ttl := range []time.Duration{-1, tokenTTLMax + 1} {
		if _, err := g.CreateToken(t.Context(), ttl); !errors.Is(err, volume.ErrInvalidRequest) {
			t.Errorf("a token for %v: %v", ttl, err)
		}
	}
}

func TestSilentStoreIsSaid(t *testing.T) {
	g := newGate(t)
	token := g.token()
	g.store.silent = true
	_, err := g.CreateToken(t.Context(), 0)
	_, listErr := g.Tokens(t.Context())
	joinErr := g.join(filepath.Join(t.TempDir(), "b"), "b", token)
	for _, err := range []error{err, listErr, joinErr, g.RemoveToken(t.Context(), token.ID)} {
		if !errors.Is(err, volume.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "majority") {
			t.Errorf("got %v, want %v", err, volume.ErrOutcomeUnknown)
		}
	}
}

func TestRecordsOfANewerVersionAreRefused(t *testing.T) {
	g := newGate(t)
	g.store.items[authorityKey] = metadata.Item{Key: authorityKey, Value: []byte(`{"format":2}`), Revision: 1}
	if _, err := g.CreateToken(t.Context(), 0); !errors.Is(err, volume.ErrNewerFormat) {
		t.Errorf("got %v, want %v", err, volume.ErrNewerFormat)
	}
	delete(g.store.items, authorityKey)
	if _, err := g.CreateToken(t.Context(), 0); !errors.Is(err, volume.ErrNoAuthority) {
		t.Errorf("got %v, want %v", err, volume.ErrNoAuthority)
	}
}

func FuzzDecodeMember(f *testing.F) {
	f.Add([]byte(`{"format":1,"seq":1,"name":"a"}`))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := decode[Member](metadata.Item{Key: "k", Value: value})
		if err == nil && m.Format > format {
			t.Errorf("%s was taken as %+v", value, m)
		}
	})
}
