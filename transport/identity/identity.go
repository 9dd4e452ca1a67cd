// Package identity proves to nodes who the others are: it makes the authority
// of a cluster, issues certificates to its nodes, keeps both in files and
// turns them into TLS configurations.
//
// A node's certificate names it twice. The URI lagan://node/ID is the identity,
// read by NodeOf. The DNS name ID.node.lagan says the same to the standard
// verifier, so that a dialler asks for the node it means by TLS's own server
// name and no check has to be switched off.
//
//	authority ──signs──▶ node certificate {URI lagan://node/ID, DNS ID.node.lagan, hosts…}
//	    │ ca.crt (0644), ca.key (0600)        │ node.crt (0644), node.key (0600)
//
// The private key of a node never leaves it: it sends a request (NewKey), the
// holder of the authority answers with a certificate (Authority.Issue).
// transport/tcp uses it for connections, cmd/lagan makes and loads the files.
package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
)

const (
	uriPrefix = "lagan://node/"
	dnsSuffix = ".node.lagan"
	// AnyNode is a name that every node's certificate carries: for diallers
	// that know an address and not who is there.
	AnyNode = "any" + dnsSuffix
)

// ErrNoNode says that a certificate is not one of a node.
var ErrNoNode = errors.New("the certificate names no node of lagan: issue one with the cluster's authority")

// ErrOtherAuthority says that a node belongs to another cluster than a token.
var ErrOtherAuthority = errors.New("the node belongs to another cluster than the token: compare the address with the cluster that made the token")

// Identity is what a node proves itself with and checks others by.
type Identity struct {
	Node        block.NodeID
	Certificate tls.Certificate
	Authority   *x509.CertPool // who may vouch for the others

	AuthorityDER []byte // the authority's certificate
}

// NodeOf returns the node that certificate was issued to.
func NodeOf(certificate *x509.Certificate) (block.NodeID, error) {
	for _, uri := range certificate.URIs {
		text, ok := strings.CutPrefix(uri.String(), uriPrefix)
		if !ok {
			continue
		}
		var id block.NodeID
		if err := id.UnmarshalText([]byte(text)); err != nil {
			return id, fmt.Errorf("node name in certificate: %w", err)
		}
		return id, nil
	}
	return block.NodeID{}, ErrNoNode
}

// Server returns the configuration of the side that is connected to: it takes
// only peers that the authority vouches for.
func (i *Identity) Server() *tls.Config {
	c := i.config()
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.ClientCAs = i.Authority
	return c
}

// Client returns the configuration for connecting to node and no other.
func (i *Identity) Client(node block.NodeID) *tls.Config {
	c := i.config()
	c.RootCAs = i.Authority
	c.ServerName = node.String() + dnsSuffix
	return c
}

// API returns the configuration of a port that also hears those who have no
// certificate yet: what they may do is for the handler to decide. The
// authority's certificate goes along, so that a joining node can compare it with
// its token.
func (i *Identity) API() *tls.Config {
	c := i.config()
	c.Certificates[0].Certificate = append(slices.Clone(i.Certificate.Certificate), i.AuthorityDER)
	c.ClientAuth = tls.VerifyClientCertIfGiven
	c.ClientCAs = i.Authority
	return c
}

// Pinned returns the configuration for connecting to any node of the cluster
// whose authority has the hash pin. Nothing else is trusted, and nothing is sent
// before the other side has proved itself.
func Pinned(pin Hash) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The standard verifier wants a root that is known beforehand. What it
		// does is done below, with the root that the pin vouches for.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			authority := s.PeerCertificates[len(s.PeerCertificates)-1]
			if HashOf(authority.Raw) != pin {
				return ErrOtherAuthority
			}
			roots := x509.NewCertPool()
			roots.AddCert(authority)
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: AnyNode})
			return err
		},
	}
}

func (i *Identity) config() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{i.Certificate},
		// A resumed session would outlive a revoked authority, and spares nothing
		// on connections that live for hours.
		SessionTicketsDisabled: true,
		// Small first records help browsers and cost us a system call each.
		DynamicRecordSizingDisabled: true,
	}
}
