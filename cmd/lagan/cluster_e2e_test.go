package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/rest/client"
	"github.com/lagan-storage/lagan/transport/identity"
)

// patience bounds what a test waits for; no assertion depends on it.
const patience = 5 * time.Minute

func start(t *testing.T, c *cluster.Cluster, names ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, name := range names {
		if err := errors.Join(c.Node(name).Start(ctx), c.Node(name).AwaitReady(ctx)); err != nil {
			t.Fatal(err)
		}
	}
}

func awaitVoters(t *testing.T, c *cluster.Cluster, name string, count int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.AwaitVoters(ctx, c.Node(name), count); err != nil {
		t.Fatal(err)
	}
}

func TestE2EClusterGrowsAndOutlivesItsFirstNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b", "c", "d")
	c.Node("d").SetDisks() // keeps no copies
	start(t, c, "a", "b")
	awaitVoters(t, c, "b", 1)
	start(t, c, "c")
	for _, name := range []string{"a", "b", "c"} {
		awaitVoters(t, c, name, 3)
	}
	a, b := c.Node("a"), c.Node("b")
	until(t, c, "three disks are known", func() (bool, error) {
		disks, err := b.Client().Disks(t.Context())
		return len(disks) == 3, err
	})
	create(t, b, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2", "nodes": "b+c"})
	attach(t, b, "db", api.Attach{})
	content := random(mebi)
	if _, err := b.Client().WriteBlocks(t.Context(), "db", 0, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := a.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Client().WriteBlocks(t.Context(), "db", mebi, bytes.NewReader(content)); err != nil {
		t.Errorf("writing without the first node: %v", err)
	}
	start(t, c, "d") // by a token made on b
	until(t, c, "the new node is known as one without disks", func() (bool, error) {
		nodes, err := b.Client().Nodes(t.Context())
		disks, diskErr := b.Client().Disks(t.Context())
		return len(nodes) == 4 && len(disks) == 3, errors.Join(err, diskErr)
	})
	awaitVoters(t, c, "d", 3)
	// All that is left stops and starts again, with no flags but where it is.
	for _, name := range []string{"d", "b", "c"} { // the user of the volume while there is a majority
		if _, err := c.Node(name).Lagan(t.Context(), nil, "down"); err != nil {
			t.Fatal(err)
		}
		until(t, c, "its parent hears of the end", func() (bool, error) { return !c.Node(name).Running(), nil })
	}
	// The API of one alone says why it cannot do its part.
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, c, "b answers without a majority", func() (bool, error) {
		err := b.Client().Ready(t.Context())
		return !errors.Is(err, client.ErrUnreachable), nil
	})
	if err := b.Client().Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "majority") {
		t.Errorf("readiness without a majority: %v", err)
	}
	start(t, c, "c", "d")
	if err := b.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := c.Node("d")
	until(t, c, "the volume can be used where no copy is", func() (bool, error) {
		_, err := d.Client().Attach(t.Context(), "db", api.Attach{})
		return err == nil, err
	})
	wantContent(t, d, "db", 0, content)
	wantContent(t, d, "db", mebi, content)
	if err := d.Client().Detach(t.Context(), "db", false); err != nil {
		t.Error(err)
	}
}

func TestE2ERefusedJoinLeavesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b")
	start(t, c, "a")
	a, b := c.Node("a"), c.Node("b")
	token, err := a.Client().CreateToken(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := a.Client().CreateToken(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Client().RemoveToken(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	right, err := identity.ParseToken(token.Token)
	if err != nil {
		t.Fatal(err)
	}
	guessed, foreign := right, right
	guessed.Secret = identity.NewToken(identity.Hash{}).Secret
	foreign.Authority = identity.HashOf([]byte("another cluster"))
	before, err := a.Client().Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	join := func(data, token string, more ...string) error {
		arguments := append([]string{"join", a.API(), "--token", token, "--data", data, "--run", filepath.Join(data, "run")}, b.Birth()...)
		_, err := b.Lagan(ctx, nil, append(arguments, more...)...)
		return err
	}
	for _, x := range []struct {
		token, want string
		more        []string
	}{
		{gone.Token, "lagan token create", nil},
		{guessed.String(), "lagan token create", nil},
		{foreign.String(), "another cluster", nil},
		{token.Token[:40], "whole line", nil},
		{token.Token, "--name", []string{"--name", "a"}},
		{token.Token, "addresses of its own", []string{"--api", a.API()}},
		{token.Token, "--advertise", []string{"--advertise", "0.0.0.0:1"}},
	} {
		if err := join(b.Dir(), x.token, x.more...); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("join with %s %v: %v, want %q", x.token, x.more, err, x.want)
		}
		if _, err := os.Stat(b.Dir()); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("a join that was refused (%s) left %s: %v", x.want, b.Dir(), err)
		}
	}
	if err := join(a.Dir(), token.Token); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("join of a node that has joined: %v", err)
	}
	if after, err := a.Client().Nodes(t.Context()); err != nil || len(after) != len(before) {
		t.Errorf("nodes after that: %v, %v", after, err)
	}
	// Without a certificate the port takes nothing else.
	stranger := client.OverTLS(a.API(), identity.Pinned(right.Authority))
	defer stranger.Close()
	if _, err := stranger.Volumes(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a stranger lists volumes: %v", err)
	}
	if _, err := stranger.Stop(t.Context()); err == nil || !a.Running() {
		t.Errorf("a stranger stops the node: %v", err)
	}
	start(t, c, "b")
	awaitVoters(t, c, "b", 1)
}

func TestE2ENodeRemembersWhatItWasGiven(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a")
	start(t, c, "a")
	a := c.Node("a")
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(a.Dir(), datadir.TLSDir, identity.AuthorityKeyFile)
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the authority's key is on the first node still: %v", err)
	}
	for _, flags := range [][]string{{"--name", "b"}, {"--cluster", "other"}, {"--no-disk"}} {
		arguments := append([]string{"up", "--data", a.Dir(), "--run", filepath.Join(a.Dir(), "run")}, flags...)
		if _, err := a.Lagan(t.Context(), nil, arguments...); err == nil || !strings.Contains(err.Error(), flags[0]) {
			t.Errorf("up %v: %v, want it refused by name", flags, err)
		}
	}
	start(t, c, "a")
	if nodes, err := a.Client().Nodes(t.Context()); err != nil || len(nodes) != 1 || nodes[0].API != a.API() {
		t.Errorf("after a restart: %+v, %v", nodes, err)
	}
	disks, err := a.Client().Disks(t.Context())
	if err != nil || len(disks) != 1 || disks[0].Problem != "" {
		t.Errorf("after a restart: %+v, %v", disks, err)
	}
}
