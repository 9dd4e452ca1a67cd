// Package client speaks to the API of a node: the generated client (rest/api)
// with a socket or TLS below it, and plain values above. An error is what the use
// case on the node returned, as a *volume.Error where it has a code. The
// commands, the measurements and the tests call it.
package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// problemBytesMax bounds what is read of an answer that is an error.
const problemBytesMax = 1 << 20

// ErrUnreachable says that no daemon answers.
var ErrUnreachable = errors.New("no daemon answers")

// Client speaks to one node.
type Client struct {
	api  *api.ClientWithResponses
	node *node
}

// OverSocket returns a client of the daemon that listens on a unix socket.
func OverSocket(path string) *Client {
	dialer := net.Dialer{}
	return over("http://lagan", &node{
		at:  path,
		fix: "start one with lagan up, or name its socket with --socket",
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", path)
			},
		}},
	})
}

// OverTLS returns a client of the node whose API listens at address, host:port.
// config says who may answer.
func OverTLS(address string, config *tls.Config) *Client {
	return over("https://"+address, &node{
		at:   address,
		fix:  "name the address of the API of a node that runs, HOST:7301 if it was not set",
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: config}},
	})
}

func over(base string, n *node) *Client {
	// Options can fail, and neither of these does.
	generated := &api.Client{Server: base + "/", Client: n}
	return &Client{api: &api.ClientWithResponses{ClientInterface: generated}, node: n}
}

// Close drops idle connections.
func (c *Client) Close() { c.node.http.CloseIdleConnections() }

// node is a node as the generated client sees it: an answer that is a problem is
// an error.
type node struct {
	http *http.Client
	at   string // for people
	fix  string // if nobody answers
}

// Do implements api.HttpRequestDoer.
func (n *node) Do(request *http.Request) (*http.Response, error) {
	response, err := n.http.Do(request)
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return nil, fmt.Errorf("%w at %s (%w): %s", ErrUnreachable, n.at, op.Err, n.fix)
	case err != nil:
		return nil, fmt.Errorf("the daemon at %s broke off: %w", n.at, err)
	case response.StatusCode < http.StatusBadRequest:
		return response, nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, problemBytesMax))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the node's answer: %w", err)
	}
	return nil, problemError(response, text)
}

// problemError makes of an answer the error that the use case had.
func problemError(response *http.Response, text []byte) error {
	var p api.Problem
	kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	if kind != api.ProblemType || json.Unmarshal(text, &p) != nil {
		return fmt.Errorf("the node answered %s: %.200s", response.Status, text)
	}
	e := &volume.Error{Kind: errors.New(p.Code), What: p.Detail, Causes: p.Cause, Fix: p.Fix} // of a newer node
	for _, x := range volume.Catalogue() {
		if x.Kind.Error() == p.Code {
			e.Kind = x.Kind
		}
	}
	return e
}

// answer returns what the document says that the answer has.
func answer[Response, Answer any](r Response, err error, of func(Response) *Answer) (a Answer, _ error) {
	if err != nil {
		return a, err
	}
	if got := of(r); got != nil {
		return *got, nil
	}
	return a, errors.New("the node's answer is none that this version knows: use lagan of the node's version")
}

// done is for answers that have nothing.
func done[Response any](_ Response, err error) error { return err }

// refuseName refuses what cannot stand in an address. The generated client makes
// addresses shorter by their dots: to detach "." would be to delete a volume
// that is called attachment.
func refuseName(name string) error {
	if name != "" && name != "." && name != ".." {
		return nil
	}
	return &volume.Error{
		Kind: volume.ErrInvalidRequest, What: fmt.Sprintf("%q is no name", name),
		Fix: "give the name or the identity of what is meant",
	}
}
