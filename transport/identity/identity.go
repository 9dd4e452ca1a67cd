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
	"strings"

	"github.com/lagan-storage/lagan/core/block"
)

const (
	uriPrefix = "lagan://node/"
	dnsSuffix = ".node.lagan"
)

// ErrNoNode says that a certificate is not one of a node.
var ErrNoNode = errors.New("the certificate names no node of lagan: issue one with the cluster's authority")

// Identity is what a node proves itself with and checks others by.
type Identity struct {
	Node        block.NodeID
	Certificate tls.Certificate
	Authority   *x509.CertPool // who may vouch for the others
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
