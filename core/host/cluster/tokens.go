package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/identity"
)

// TokenTTL is how long a token is good for unless something else is asked for.
const TokenTTL = 24 * time.Hour

// tokenTTLMax bounds it: what is not used in a month was lost or forgotten.
const tokenTTLMax = 30 * 24 * time.Hour

// answerWithin bounds the wait for the metadata store.
const answerWithin = 10 * time.Second

// Params is what Admissions are made from.
type Params struct {
	Store  Store
	API    string // host:port of this node's API, for those who get a token
	Scheme string // of the metadata store's URLs
	Now    func() time.Time
	// Endpoints returns the client URLs of the metadata store's voters.
	Endpoints func() []string
	External  bool // others run the metadata store
}

// Admissions lets nodes into the cluster. Any node can.
type Admissions struct{ p Params }

// NewAdmissions returns the admissions of a node.
func NewAdmissions(p Params) *Admissions { return &Admissions{p} }

// read returns what is below keys.
func (a *Admissions) read(ctx context.Context, what string, keys ...string) (metadata.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	r := a.p.Store.Do(ctx, metadata.Txn{Read: keys})
	if r.Outcome != metadata.Applied {
		return r, unanswered(what)
	}
	return r, nil
}

// write performs a transaction. taken is the error of one whose guards fail.
func (a *Admissions) write(ctx context.Context, what string, txn metadata.Txn, taken error) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	switch a.p.Store.Do(ctx, txn).Outcome {
	case metadata.Applied:
		return nil
	case metadata.Refused:
		return taken
	case metadata.Unknown:
	}
	return unanswered(what)
}

// authority returns the cluster's authority and name out of what was read.
func (a *Admissions) authority(r *metadata.Result) (*identity.Authority, string, error) {
	item, found := r.Find(authorityKey)
	if !found {
		return nil, "", &volume.Error{
			Kind: volume.ErrNoAuthority, What: "the cluster's metadata store has no authority to admit nodes with",
			Fix: "wait if the first node was started just now; else see in its log why it could not found the cluster",
		}
	}
	record, err := decode[authorityRecord](item)
	if err != nil {
		return nil, "", err
	}
	authority, err := identity.ParseAuthority(record.Certificate, record.Key)
	return authority, record.Cluster, err
}

// CreateToken makes a token that is good for ttl, or for TokenTTL if that is 0.
func (a *Admissions) CreateToken(ctx context.Context, ttl time.Duration) (volume.TokenReport, error) {
	if ttl == 0 {
		ttl = TokenTTL
	}
	if ttl < 0 || ttl > tokenTTLMax {
		return volume.TokenReport{}, &volume.Error{
			Kind: volume.ErrInvalidRequest, What: fmt.Sprintf("a token cannot be good for %v", ttl),
			Fix: fmt.Sprintf("ask for more than nothing and at most %v, as in  lagan token create --ttl 24h", tokenTTLMax),
		}
	}
	const what = "the token was not made"
	r, err := a.read(ctx, what, authorityKey, tokensPrefix)
	if err != nil {
		return volume.TokenReport{}, err
	}
	authority, _, err := a.authority(&r)
	if err != nil {
		return volume.TokenReport{}, err
	}
	valid, expired, err := a.tokens(&r)
	if err != nil {
		return volume.TokenReport{}, err
	}
	if len(valid) >= tokensMax {
		return volume.TokenReport{}, &volume.Error{
			Kind: volume.ErrBusy, What: fmt.Sprintf("%d tokens are valid, which is the most there may be", len(valid)),
			Fix: "remove some:  lagan token rm ID",
		}
	}
	token := identity.NewToken(authority.Hash())
	record := tokenRecord{Format: format, ID: token.ID, Hash: identity.HashOfSecret(token.Secret), Expires: a.p.Now().Add(ttl).UTC().Truncate(time.Second)}
	op, err := put(tokensPrefix+token.ID, record)
	if err != nil {
		return volume.TokenReport{}, err
	}
	txn := metadata.Txn{Guards: []metadata.Guard{{Key: op.Key}}, Ops: append(expired, op)}
	if err := a.write(ctx, what, txn, unanswered(what)); err != nil {
		return volume.TokenReport{}, err
	}
	return volume.TokenReport{ID: token.ID, Text: token.String(), API: a.p.API, Expires: record.Expires}, nil
}

// tokens returns the tokens among what was read, and the removal of those that
// have expired.
func (a *Admissions) tokens(r *metadata.Result) (valid []tokenRecord, expired []metadata.Op, err error) {
	for _, item := range r.Items {
		if !strings.HasPrefix(item.Key, tokensPrefix) {
			continue
		}
		t, err := decode[tokenRecord](item)
		switch {
		case err != nil:
			return nil, nil, err
		case a.p.Now().Before(t.Expires):
			valid = append(valid, t)
		default:
			expired = append(expired, metadata.Op{Key: item.Key, Delete: true})
		}
	}
	return valid, expired, nil
}

// Tokens returns the tokens that can be used.
func (a *Admissions) Tokens(ctx context.Context) (reports []volume.TokenReport, err error) {
	r, err := a.read(ctx, "the tokens cannot be listed", tokensPrefix)
	if err != nil {
		return nil, err
	}
	valid, _, err := a.tokens(&r)
	for _, t := range valid {
		reports = append(reports, volume.TokenReport{ID: t.ID, Expires: t.Expires})
	}
	return reports, err
}

// RemoveToken makes a token useless.
func (a *Admissions) RemoveToken(ctx context.Context, id string) error {
	what := fmt.Sprintf("token %q was not removed", id)
	key := tokensPrefix + id
	if strings.Contains(id, "/") {
		return noToken(id)
	}
	r, err := a.read(ctx, what, key)
	if err != nil {
		return err
	}
	if _, found := r.Find(key); !found {
		return noToken(id)
	}
	return a.write(ctx, what, metadata.Txn{Ops: []metadata.Op{{Key: key, Delete: true}}}, nil)
}

func noToken(id string) error {
	return &volume.Error{Kind: volume.ErrTokenNotFound, What: fmt.Sprintf("there is no token %q", id), Fix: "look at:  lagan token ls"}
}
