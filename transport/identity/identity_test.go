package identity

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
)

func node(i byte) block.NodeID { return block.NodeID{i, 15: 0xff} }

func newAuthority(t *testing.T) *Authority {
	t.Helper()
	a, err := NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newNode returns certificate and key of a node as PEM.
func newNode(t *testing.T, a *Authority, node block.NodeID) (certificate, key []byte) {
	t.Helper()
	key, request, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err = a.Issue(request, node, []string{"127.0.0.1", "storage-1.example"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func newIdentity(t *testing.T, a *Authority, node block.NodeID) *Identity {
	t.Helper()
	certificate, key := newNode(t, a, node)
	i, err := Parse(a.Certificate(), certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// shake returns the errors of both sides of a TLS handshake.
func shake(t *testing.T, client, server *tls.Config) (clientErr, serverErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer func() { _ = a.Close() }()
	served := make(chan error, 1)
	go func() {
		defer func() { _ = b.Close() }() // ends the client's waiting
		served <- tls.Server(b, server).HandshakeContext(t.Context())
	}()
	c := tls.Client(a, client)
	if clientErr = c.HandshakeContext(t.Context()); clientErr != nil {
		_ = a.Close() // ends the server's waiting
	} else {
		_, _ = c.Read(make([]byte, 1)) // takes the server's alert, or its end
	}
	return clientErr, <-served
}

func TestNodesOfOneAuthorityBelieveEachOther(t *testing.T) {
	a := newAuthority(t)
	one, two := newIdentity(t, a, node(1)), newIdentity(t, a, node(2))
	if clientErr, serverErr := shake(t, one.Client(node(2)), two.Server()); clientErr != nil || serverErr != nil {
		t.Errorf("client: %v, server: %v", clientErr, serverErr)
	}
}

func TestADiallerRefusesAnotherNode(t *testing.T) {
	a := newAuthority(t)
	one, two := newIdentity(t, a, node(1)), newIdentity(t, a, node(2))
	if clientErr, _ := shake(t, one.Client(node(3)), two.Server()); clientErr == nil {
		t.Error("node 2 was taken for node 3")
	}
}

func TestStrangersAreRefused(t *testing.T) {
	one := newIdentity(t, newAuthority(t), node(1))
	stranger := newIdentity(t, newAuthority(t), node(2))
	if clientErr, _ := shake(t, one.Client(node(2)), stranger.Server()); clientErr == nil {
		t.Error("the dialler believed another authority's node")
	}
	careless := stranger.Client(node(1))
	careless.InsecureSkipVerify = true
	if _, serverErr := shake(t, careless, one.Server()); serverErr == nil {
		t.Error("the acceptor believed another authority's node")
	}
	careless.Certificates = nil
	if _, serverErr := shake(t, careless, one.Server()); serverErr == nil {
		t.Error("the acceptor took a peer without certificate")
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	a := newAuthority(t)
	client := newIdentity(t, a, node(1)).Client(node(2))
	client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if clientErr, _ := shake(t, client, newIdentity(t, a, node(2)).Server()); clientErr == nil {
		t.Error("TLS 1.2 was accepted")
	}
}

func TestAuthorityNamesNodesByItsOwnWord(t *testing.T) {
	a := newAuthority(t)
	i := newIdentity(t, a, node(1))
	if got, err := NodeOf(i.Certificate.Leaf); err != nil || got != node(1) {
		t.Errorf("certificate names %v, error %v, want %v", got, err, node(1))
	}
	if err := i.Certificate.Leaf.VerifyHostname("storage-1.example"); err != nil {
		t.Error(err)
	}
	_, request, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(request, node(1), []string{strings.ToUpper(node(2).String() + dnsSuffix)}, time.Now()); err == nil {
		t.Error("a certificate of node 1 with node 2's name was issued")
	}
	if _, err := NodeOf(a.certificate); !errors.Is(err, ErrNoNode) {
		t.Errorf("the authority's certificate: error %v, want ErrNoNode", err)
	}
	if _, err := a.Issue([]byte("no request"), node(1), nil, time.Now()); err == nil {
		t.Error("a certificate was issued without a request")
	}
}

func TestFilesHoldWhatWasSaved(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority(t)
	if err := SaveAuthority(dir, a); err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time over the first
		certificate, key := newNode(t, loaded, node(1))
		if err := Save(dir, loaded.Certificate(), certificate, key); err != nil {
			t.Fatal(err)
		}
		if i, err := Load(dir); err != nil || i.Node != node(1) {
			t.Fatalf("loaded %v, error %v", i, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Errorf("%d files are in the directory, error %v, want 4", len(entries), err)
	}
	for name, want := range map[string]os.FileMode{AuthorityFile: 0o644, AuthorityKeyFile: 0o600, CertificateFile: 0o644, KeyFile: 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, error %v, want mode %o", name, info, err, want)
		}
	}
}

func TestLoadRefusesWhatDoesNotBelongTogether(t *testing.T) {
	a := newAuthority(t)
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"a key that others can read": func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, KeyFile), 0o640); err != nil {
				t.Fatal(err)
			}
		},
		"another node's key": func(t *testing.T, dir string) {
			_, key := newNode(t, a, node(2))
			if err := writeFile(filepath.Join(dir, KeyFile), key, secretMode); err != nil {
				t.Fatal(err)
			}
		},
		"no certificate": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, CertificateFile)); err != nil {
				t.Fatal(err)
			}
		},
		"an empty authority": func(t *testing.T, dir string) {
			if err := writeFile(filepath.Join(dir, AuthorityFile), nil, publicMode); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			certificate, key := newNode(t, a, node(1))
			if err := Save(dir, a.Certificate(), certificate, key); err != nil {
				t.Fatal(err)
			}
			spoil(t, dir)
			if _, err := Load(dir); err == nil {
				t.Error("it was loaded")
			} else {
				t.Log(err)
			}
		})
	}
	other := newAuthority(t)
	key, err := other.Key()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseAuthority(a.Certificate(), key); err == nil {
		t.Error("one authority's certificate and another's key were taken for a pair")
	}
}
