package client

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"time"

	"github.com/lagan-storage/lagan/rest/api"
)

// OverTLS returns a client of the node whose API listens at address, host:port.
// config says who may answer.
func OverTLS(address string, config *tls.Config) *Client {
	return &Client{
		base: "https://" + address,
		at:   address,
		fix:  "name the address of the API of a node that runs, HOST:7301 if it was not set",
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: config}},
	}
}

// Join asks the node to admit this machine.
func (c *Client) Join(ctx context.Context, j api.Join) (api.Joined, error) {
	return call[api.Joined](ctx, c, http.MethodPost, "/v1/join", j)
}

// CreateToken makes a token that is good for ttl; 0 is a day.
func (c *Client) CreateToken(ctx context.Context, ttl time.Duration) (api.Token, error) {
	return call[api.Token](ctx, c, http.MethodPost, "/v1/tokens", api.NewToken{TTLSeconds: int64(ttl / time.Second)})
}

// Tokens returns the tokens that can be used.
func (c *Client) Tokens(ctx context.Context) ([]api.Token, error) {
	list, err := call[api.List[api.Token]](ctx, c, http.MethodGet, "/v1/tokens", nil)
	return list.Items, err
}

// RemoveToken makes a token useless.
func (c *Client) RemoveToken(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(id), nil, nil)
}

// Stop makes the node stop in order. The answer names the process, which ends
// when that is done.
func (c *Client) Stop(ctx context.Context) (api.Stopping, error) {
	return call[api.Stopping](ctx, c, http.MethodPost, "/v1/stop", nil)
}
