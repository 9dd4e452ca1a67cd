package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// attempt is one creation.
type attempt struct {
	node, size string
	made       api.Volume
	err        error
}

// TestE2ENamesGivenTwiceAtOnceAreOneVolume creates each volume by way of three nodes
// at once: as the same, or one of them as another size.
func TestE2ENamesGivenTwiceAtOnceAreOneVolume(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "256MiB", "a", "b", "c")
	up(t, c)
	const names = 12
	for i := range names {
		name := fmt.Sprintf("v%d", i)
		attempts := []*attempt{{node: "a", size: "64KiB"}, {node: "b", size: "64KiB"}, {node: "c", size: "64KiB"}}
		if i%2 == 1 {
			attempts[i%3].size = "128KiB"
		}
		var creating sync.WaitGroup
		for _, one := range attempts {
			creating.Go(func() {
				one.made, one.err = c.Node(one.node).Client().Create(t.Context(), name, map[string]string{"size": one.size, "fs": "none", "replicas": "2"}, false)
			})
		}
		creating.Wait()
		won, err := c.Node("a").Client().Volume(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range attempts {
			size, err := volume.ParseSize(one.size)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case size == won.Spec.Size && (one.err != nil || one.made.ID != won.ID):
				t.Errorf("%s of %s on %s: volume %q, %v, want %s", name, one.size, one.node, one.made.ID, one.err, won.ID)
			case size != won.Spec.Size && (!errors.Is(one.err, volume.ErrNameTaken) || !strings.Contains(one.err.Error(), "differs in size")):
				t.Errorf("%s of %s on %s, when there is one of %d bytes: %v, want it refused for its size", name, one.size, one.node, won.Spec.Size, one.err)
			}
		}
	}
	if r := awaitOrder(t, c, openStore(t, c, c.Node("a"))); len(r.names) != names {
		t.Errorf("%d volumes, want %d", len(r.names), names)
	}
}

// TestE2ENodesOfOneNameAreOneNode has two machines join under one name at once.
func TestE2ENodesOfOneNameAreOneNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b", "c")
	start(t, c, "a")
	a := c.Node("a")
	token, err := a.Client().CreateToken(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	join := func(n *cluster.Node) error { // returns when the node has ended
		arguments := append([]string{
			"join", a.API(), "--token", token.Token, "--data", n.Dir(), "--run", filepath.Join(n.Dir(), "run"), "--plugin-socket", "none",
		}, n.Birth()...)
		_, err := n.Lagan(ctx, nil, append(arguments, "--name", "twin")...)
		return err
	}
	type outcome struct {
		node *cluster.Node
		err  error
	}
	ended := make(chan outcome, 2)
	for _, name := range []string{"b", "c"} {
		go func() { ended <- outcome{c.Node(name), join(c.Node(name))} }()
	}
	first := <-ended
	if first.err == nil || !strings.Contains(first.err.Error(), "twin") {
		t.Errorf("the node that lost was told: %v", first.err)
	}
	if _, err := os.Stat(first.node.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has left %s: %v", first.node.Dir(), err)
	}
	if err := join(first.node); err == nil || !strings.Contains(err.Error(), "choose another name") {
		t.Errorf("asking again under the name of another node: %v", err)
	}
	until(t, c, "the other one is a node", func() (bool, error) {
		nodes, err := a.Client().Nodes(t.Context())
		return len(nodes) == 2, err
	})
	cancel() // kills it
	<-ended
}

// TestE2EExpiredTokenAdmitsNobody has a machine join with a token whose time is over.
func TestE2EExpiredTokenAdmitsNobody(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b")
	start(t, c, "a")
	a, b := c.Node("a"), c.Node("b")
	token, err := a.Client().CreateToken(t.Context(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	until(t, c, "the token has run out", func() (bool, error) {
		all, err := a.Client().Tokens(t.Context())
		return !slices.ContainsFunc(all, func(one api.Token) bool { return one.ID == token.ID }), err
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	arguments := append([]string{"join", a.API(), "--token", token.Token, "--data", b.Dir(), "--run", filepath.Join(b.Dir(), "run")}, b.Birth()...)
	if _, err := b.Lagan(ctx, nil, arguments...); err == nil || !strings.Contains(err.Error(), "lagan token create") {
		t.Errorf("join with a token that has run out: %v", err)
	}
	if _, err := os.Stat(b.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has left %s: %v", b.Dir(), err)
	}
}

// TestE2ECertificatesOfAnotherClusterAreRefused goes to all ports of a node with
// what a node of another cluster has.
func TestE2ECertificatesOfAnotherClusterAreRefused(t *testing.T) {
	t.Parallel()
	here, there := newCluster(t, "128MiB", "a"), newCluster(t, "128MiB", "a")
	start(t, here, "a")
	start(t, there, "a")
	ours, foreign := here.Node("a"), there.Node("a")
	s := openStore(t, here, ours)
	before := readRecords(t, s)

	files := foreign.StoreTLS()
	certificate, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	gullible := &tls.Config{Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true} //nolint:gosec // it is the server that is to look
	seats, err := s.Seats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := ours.Client().Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for what, address := range map[string]string{
		"API": ours.API(), "data": nodes[0].Address,
		"peers of the metadata store":   strings.TrimPrefix(seats[0].Peers[0], "https://"),
		"clients of the metadata store": strings.TrimPrefix(seats[0].Clients[0], "https://"),
	} {
		if err := speak(t, address, gullible); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("port for %s, to a node of another cluster: %v, want its certificate refused", what, err)
		}
	}
	careful := overPort(t, ours, foreign)
	defer careful.Close()
	if err := careful.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a node of another cluster believes this one: %v", err)
	}
	after := readRecords(t, s)
	if len(after.names) != len(before.names) || len(after.nodes) != len(before.nodes) || len(after.others) != 0 {
		t.Errorf("the records were %+v and are %+v", before, after)
	}
}

// speak connects to a port, sends something and returns what went wrong. A server
// says what it thinks of a certificate only when the client has said all.
func speak(t *testing.T, address string, config *tls.Config) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the server has done so
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_, _ = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")) // what it leads to is read
	_, err = io.ReadAll(conn)
	return err
}
