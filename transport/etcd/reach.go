package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/status"
)

// handshakeWithin bounds the search for the reason why an endpoint says nothing.
const handshakeWithin = time.Second

// Reach returns nil once a majority of the store has answered, or why none did
// before ctx ended.
func (s *Store) Reach(ctx context.Context) error {
	bounded, cancel := s.scope(ctx)
	defer cancel()
	_, err := s.linearize(bounded)
	if err == nil {
		return nil
	}
	text := err.Error()
	var told interface{ GRPCStatus() *status.Status }
	if errors.As(err, &told) {
		text = told.GRPCStatus().Message() // the rest is words of gRPC about itself
	}
	e, _ := s.endpoints.pick()
	if refused := s.endpoints.handshake(context.WithoutCancel(ctx), e.url); refused != nil {
		text = refused.Error()
	}
	return fmt.Errorf("metadata store at %s: %s", strings.Join(s.endpoints.urls(), ", "), text)
}

// handshake returns why the member at address does not take this node's
// certificate, or this node the member's; nil if that is not the reason. To gRPC
// the refusal of a certificate is a connection that breaks.
func (e *endpoints) handshake(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeWithin)
	defer cancel()
	var d net.Dialer
	socket, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil
	}
	defer func() { _ = socket.Close() }() // nothing was asked
	config := e.identity.Clone()
	config.NextProtos = []string{"h2"}
	if config.ServerName == "" {
		config.ServerName = u.Hostname()
	}
	connection := tls.Client(socket, config)
	if err := connection.HandshakeContext(ctx); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline() // it has one
	if err := connection.SetReadDeadline(deadline); err != nil {
		return nil
	}
	// The other side speaks first, if only to say that it wants another certificate.
	var alert *net.OpError
	if _, err := connection.Read(make([]byte, 1)); errors.As(err, &alert) && !alert.Timeout() {
		return err
	}
	return nil
}
