package identity

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
)

func TestTokenIsReadAsWritten(t *testing.T) {
	token := NewToken(HashOf([]byte("authority")))
	got, err := ParseToken(token.String())
	if err != nil || got != token {
		t.Fatalf("got %+v, %v, want %+v", got, err, token)
	}
	if other := NewToken(token.Authority); other.ID == token.ID || other.Secret == token.Secret {
		t.Errorf("drew the same token twice: %v and %v", token, other)
	}
	for _, text := range []string{
		"", "a.b", token.String() + ".", token.String()[1:], strings.ToUpper(token.String()),
		strings.Replace(token.String(), ".", "..", 1), "zz" + token.String()[2:],
	} {
		if got, err := ParseToken(text); err == nil {
			t.Errorf("%q was taken as %+v", text, got)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(NewToken(Hash{1}).String())
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := ParseToken(text); err == nil && token.String() != text {
			t.Errorf("%q became %q", text, token)
		}
	})
}

func TestSecretIsKnownByItsHashAlone(t *testing.T) {
	token := NewToken(Hash{})
	hash := HashOfSecret(token.Secret)
	if !hash.Matches(token.Secret) || hash.Matches("") || hash.Matches(token.Secret[1:]) || strings.Contains(hash.String(), token.Secret) {
		t.Error("a secret is not told by its hash")
	}
}

func TestPinLetsInOneClusterAlone(t *testing.T) {
	node := func() (*Identity, *Authority) {
		authority, err := NewAuthority(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		key, request, err := NewKey()
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := authority.Issue(request, block.NodeID{1}, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		id, err := Parse(authority.Certificate(), certificate, key)
		if err != nil {
			t.Fatal(err)
		}
		return id, authority
	}
	own, authority := node()
	foreign, _ := node()
	if err, _ := shake(t, Pinned(authority.Hash()), own.API()); err != nil {
		t.Errorf("a node of the cluster: %v", err)
	}
	if err, _ := shake(t, Pinned(authority.Hash()), foreign.API()); !errors.Is(err, ErrOtherAuthority) {
		t.Errorf("a node of another cluster: %v", err)
	}
	// A stranger who shows the right authority beside a certificate of its own.
	liar := foreign.API()
	chain := liar.Certificates[0].Certificate
	chain[len(chain)-1] = own.AuthorityDER
	if err, _ := shake(t, Pinned(authority.Hash()), liar); err == nil {
		t.Error("a stranger with the authority's certificate was taken for a node")
	}
}
