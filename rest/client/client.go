// Package client speaks to the API of a node: one method a route, values of
// rest/api in and out. An error is what the use case on the node returned, as a
// *volume.Error where it has a code. The commands and tests call it.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
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
	http *http.Client
	base string // of all addresses
	at   string // for people
	fix  string // if nobody answers
}

// OverSocket returns a client of the daemon that listens on a unix socket.
func OverSocket(path string) *Client {
	dialer := net.Dialer{}
	return &Client{
		base: "http://lagan",
		at:   path,
		fix:  "start one with lagan up, or name its socket with --socket",
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", path)
			},
		}},
	}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns what one screen shows.
func (c *Client) Status(ctx context.Context) (api.Status, error) {
	return call[api.Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Ready returns nil if the node can do its part.
func (c *Client) Ready(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/readyz", nil, nil)
}

// Volumes returns all volumes.
func (c *Client) Volumes(ctx context.Context) ([]api.Volume, error) {
	list, err := call[api.List[api.Volume]](ctx, c, http.MethodGet, "/v1/volumes", nil)
	return list.Items, err
}

// Volume returns one volume, by name or identity.
func (c *Client) Volume(ctx context.Context, name string) (api.Volume, error) {
	return call[api.Volume](ctx, c, http.MethodGet, volumePath(name), nil)
}

// Create makes a volume from its options, as they are written on a command line;
// with dryRun it only says where the copies would be.
func (c *Client) Create(ctx context.Context, name string, options map[string]string, dryRun bool) (api.Volume, error) {
	body := map[string]any{"spec": options}
	path := volumePath(name)
	if dryRun {
		path += "?dry_run=1"
	}
	return call[api.Volume](ctx, c, http.MethodPut, path, body)
}

// Delete deletes a volume that nobody uses.
func (c *Client) Delete(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, volumePath(name), nil, nil)
}

// Attach has the node serve, show and mount a volume, as far as asked for.
func (c *Client) Attach(ctx context.Context, name string, a api.Attach) (api.Volume, error) {
	return call[api.Volume](ctx, c, http.MethodPut, volumePath(name)+"/attachment", a)
}

// Detach ends the use of a volume on the node.
func (c *Client) Detach(ctx context.Context, name string, force bool) error {
	path := volumePath(name) + "/attachment"
	if force {
		path += "?force=1"
	}
	return c.do(ctx, http.MethodDelete, path, nil, nil)
}

// Unmount unmounts a volume from target, or from everywhere if that is "".
func (c *Client) Unmount(ctx context.Context, name, target string) error {
	return c.do(ctx, http.MethodDelete, volumePath(name)+"/mount?target="+url.QueryEscape(target), nil, nil)
}

// ReadBlocks copies a range of a volume that the node serves to w.
func (c *Client) ReadBlocks(ctx context.Context, name string, offset, length int64, w io.Writer) error {
	path := fmt.Sprintf("%s/blocks?offset=%d&length=%d", volumePath(name), offset, length)
	response, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("read volume %q: %d of %d bytes came: %w", name, n, length, err)
	}
	return nil
}

// WriteBlocks stores what r has in a volume that the node serves; it is durable
// when this returns nil.
func (c *Client) WriteBlocks(ctx context.Context, name string, offset int64, r io.Reader) (int64, error) {
	response, err := c.send(ctx, http.MethodPut, volumePath(name)+"/blocks?offset="+strconv.FormatInt(offset, 10), r)
	if err != nil {
		return 0, err
	}
	var written api.Written
	err = decode(response, &written)
	return written.Bytes, err
}

// Nodes returns all nodes.
func (c *Client) Nodes(ctx context.Context) ([]api.Node, error) {
	list, err := call[api.List[api.Node]](ctx, c, http.MethodGet, "/v1/nodes", nil)
	return list.Items, err
}

// Node returns one node, by name or identity.
func (c *Client) Node(ctx context.Context, name string) (api.Node, error) {
	return call[api.Node](ctx, c, http.MethodGet, "/v1/nodes/"+url.PathEscape(name), nil)
}

// Disks returns all disks.
func (c *Client) Disks(ctx context.Context) ([]api.Disk, error) {
	list, err := call[api.List[api.Disk]](ctx, c, http.MethodGet, "/v1/disks", nil)
	return list.Items, err
}

func volumePath(name string) string { return "/v1/volumes/" + url.PathEscape(name) }

// call sends body as JSON and returns the answer.
func call[Answer any](ctx context.Context, c *Client, method, path string, body any) (answer Answer, err error) {
	err = c.do(ctx, method, path, body, &answer)
	return answer, err
}

// do sends body as JSON and reads the answer into result, if that is not nil.
func (c *Client) do(ctx context.Context, method, path string, body, result any) error {
	var r io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		r = bytes.NewReader(data)
	}
	response, err := c.send(ctx, method, path, r)
	if err != nil {
		return err
	}
	if result == nil {
		return response.Body.Close()
	}
	return decode(response, result)
}

func decode(response *http.Response, result any) error {
	err := json.NewDecoder(response.Body).Decode(result)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	return nil
}

// send returns an answer that is not an error; the caller closes its body.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	response, err := c.http.Do(request)
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return nil, fmt.Errorf("%w at %s (%w): %s", ErrUnreachable, c.at, op.Err, c.fix)
	case err != nil:
		return nil, fmt.Errorf("the daemon at %s broke off: %w", c.at, err)
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
	for _, x := range volume.Catalogue() {
		if x.Kind.Error() == p.Code {
			return &volume.Error{Kind: x.Kind, What: p.Detail, Causes: p.Cause, Fix: p.Fix}
		}
	}
	return fmt.Errorf("%s\n%s", p.Detail, p.Fix)
}
