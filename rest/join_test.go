package rest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest"
	"github.com/lagan-storage/lagan/rest/api"
)

// gate is admissions that do what a test says.
type gate struct {
	err     error
	asked   volume.JoinRequest
	joins   int
	ttl     time.Duration
	removed string
}

func (g *gate) Join(_ context.Context, j volume.JoinRequest) (volume.JoinAnswer, error) {
	g.asked, g.joins = j, g.joins+1
	return volume.JoinAnswer{Node: [16]byte{1}, Cluster: "lagan", Certificate: []byte("pem"), Endpoints: []string{"u"}}, g.err
}

func (g *gate) CreateToken(_ context.Context, ttl time.Duration) (volume.TokenReport, error) {
	g.ttl = ttl
	return volume.TokenReport{ID: "1", Text: "1.2.3", API: "a:7301"}, g.err
}

func (g *gate) Tokens(context.Context) ([]volume.TokenReport, error) {
	return []volume.TokenReport{{ID: "1"}}, g.err
}

func (g *gate) RemoveToken(_ context.Context, id string) error { g.removed = id; return g.err }

// ask sends a request to a node with these admissions.
func (g *gate) ask(t *testing.T, h http.Handler, method, target, body string, state *tls.ConnectionState) *httptest.ResponseRecorder {
	t.Helper()
	if h == nil {
		h = g.handler()
	}
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.TLS = state
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func (g *gate) handler() http.Handler {
	n := &node{}
	return rest.New(rest.Params{Volumes: n, Blocks: n, Machines: n, Admissions: g, Stop: func() { panic("stopped by a stranger") }})
}

const joinBody = `{"token_id":"1","token_secret":"2","name":"b","api":"b:1","etcd_peer":"b:2","etcd_client":"b:3","request":"pem"}`

func TestStrangersMayJoinAndNothingElse(t *testing.T) {
	stranger := &tls.ConnectionState{}
	node := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}
	for _, c := range []struct {
		method, target string
		state          *tls.ConnectionState
		code           int
	}{
		{http.MethodPost, "/v1/join", stranger, http.StatusCreated},
		{http.MethodGet, "/v1/join", stranger, http.StatusMethodNotAllowed},
		{http.MethodGet, "/healthz", stranger, http.StatusForbidden},
		{http.MethodGet, "/v1/tokens", stranger, http.StatusForbidden},
		{http.MethodPost, "/v1/tokens", stranger, http.StatusForbidden},
		{http.MethodPost, "/v1/join%2f", stranger, http.StatusForbidden},
		{http.MethodGet, "/v1/tokens", node, http.StatusOK},
		{http.MethodGet, "/healthz", node, http.StatusOK},
		{http.MethodPost, "/v1/stop", stranger, http.StatusForbidden},
		{http.MethodPost, "/v1/stop", node, http.StatusForbidden},
		{http.MethodPost, "/v1/stop", nil, http.StatusForbidden}, // no socket either
	} {
		body := ""
		if strings.HasPrefix(c.target, "/v1/join") {
			body = joinBody
		}
		if w := (&gate{}).ask(t, nil, c.method, c.target, body, c.state); w.Code != c.code {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.target, w.Code, c.code, w.Body)
		}
	}
}

func TestJoinSaysWhatItWasAsked(t *testing.T) {
	g := &gate{}
	w := g.ask(t, nil, http.MethodPost, "/v1/join", joinBody, nil)
	var joined api.Joined
	if err := json.Unmarshal(w.Body.Bytes(), &joined); err != nil || joined.Node != "01"+strings.Repeat("00", 15) || joined.Certificate != "pem" {
		t.Errorf("answered %+v, %v", joined, err)
	}
	if a := g.asked; a.TokenID != "1" || a.TokenSecret != "2" || a.Name != "b" || a.EtcdClient != "b:3" || string(a.Request) != "pem" {
		t.Errorf("asked %+v", a)
	}
	large := `{"request":"` + strings.Repeat("x", 1<<16) + `"}`
	if w := g.ask(t, nil, http.MethodPost, "/v1/join", large, nil); w.Code != http.StatusBadRequest || g.joins != 1 {
		t.Errorf("a large request: %d", w.Code)
	}
}

func TestJoinsAreBounded(t *testing.T) {
	g := &gate{err: &volume.Error{Kind: volume.ErrTokenRefused, What: "no"}}
	h := g.handler()
	const guesses = 10_000 // far more than are let in while they are made
	turnedAway := 0
	for range guesses {
		switch w := g.ask(t, h, http.MethodPost, "/v1/join", joinBody, nil); w.Code {
		case http.StatusForbidden:
		case http.StatusServiceUnavailable:
			turnedAway++
		default:
			t.Fatalf("answered %d: %s", w.Code, w.Body)
		}
	}
	if turnedAway == 0 || g.joins+turnedAway != guesses {
		t.Errorf("%d of %d guesses were let in", g.joins, guesses)
	}
}

func TestTokensAreMadeAndRemoved(t *testing.T) {
	g := &gate{}
	if w := g.ask(t, nil, http.MethodPost, "/v1/tokens", `{"ttl_seconds":60}`, nil); w.Code != http.StatusCreated || g.ttl != time.Minute || !strings.Contains(w.Body.String(), "1.2.3") {
		t.Errorf("answered %d %s for %v", w.Code, w.Body, g.ttl)
	}
	if w := g.ask(t, nil, http.MethodGet, "/v1/tokens", "", nil); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "token\"") {
		t.Errorf("listed %d %s", w.Code, w.Body)
	}
	if w := g.ask(t, nil, http.MethodDelete, "/v1/tokens/1", "", nil); w.Code != http.StatusNoContent || g.removed != "1" {
		t.Errorf("removed %q, %d", g.removed, w.Code)
	}
}
