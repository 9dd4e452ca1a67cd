package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
)

// probe asks a node as a monitor does.
func probe(t *testing.T, n *cluster.Node, path string) (status int, body string) {
	t.Helper()
	monitor := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", n.Socket)
		},
	}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://node"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := monitor.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestE2EHealthIsTheProcessAndReadinessTheMajority(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b", "c")
	up(t, c)
	a := c.Node("a")
	if status, body := probe(t, a, "/readyz"); status != http.StatusOK {
		t.Errorf("a whole cluster: %d, %s", status, body)
	}
	for _, name := range []string{"b", "c"} {
		if err := c.Node(name).Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	until(t, c, "a misses the majority", func() (bool, error) {
		status, body := probe(t, a, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "majority"), nil
	})
	if status, body := probe(t, a, "/healthz"); status != http.StatusOK {
		t.Errorf("health without a majority: %d, %s", status, body)
	}
	start(t, c, "b")
	if err := a.AwaitReady(t.Context()); err != nil {
		t.Errorf("with two of three: %v", err)
	}
}

func TestE2EVersionIsThatOfTheNodeToo(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a")
	c.Node("a").SetDisks() // one without disks is ready all the same
	start(t, c, "a")
	said, err := c.Node("a").Lagan(t.Context(), nil, "version", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version, Go string
		Node        struct{ Name, Version string }
	}
	if err := json.Unmarshal(said, &got); err != nil || got.Go != runtime.Version() || got.Node.Name != "a" || got.Node.Version != got.Version || got.Version == "" {
		t.Errorf("%s, %v", said, err)
	}
}
