package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/transport/etcd"
	"github.com/lagan-storage/lagan/transport/identity"
)

// store is an etcd as somebody else runs it: a process of a program that is not
// ours.
type store struct {
	t       *testing.T
	dir     string
	url     string
	tls     *etcd.TLS // of a client that it lets in
	flags   []string
	process *exec.Cmd
}

// newStore returns an etcd that does not run yet, and the flags with which a node
// is let in.
func newStore(t *testing.T, secure bool) (s *store, settings []string) {
	t.Helper()
	program(t) // skips a short run
	require.Program(t, "etcd", "etcd-server")
	s = &store{t: t, dir: workDir(t)}
	scheme, ports := "http://", freePorts(t, 2)
	client, peer := ports[0], "http://"+ports[1]
	if secure {
		scheme = "https://"
		ca := newAuthority(t)
		ca.issue(filepath.Join(s.dir, "server"))
		ca.issue(filepath.Join(s.dir, "client"))
		file := func(owner, name string) string { return filepath.Join(s.dir, owner, name) }
		s.flags = []string{
			"--cert-file", file("server", identity.CertificateFile), "--key-file", file("server", identity.KeyFile),
			"--client-cert-auth", "--trusted-ca-file", file("server", identity.AuthorityFile),
		}
		s.tls = &etcd.TLS{
			CAFile: file("client", identity.AuthorityFile), CertFile: file("client", identity.CertificateFile), KeyFile: file("client", identity.KeyFile),
		}
		settings = []string{"--etcd-ca", s.tls.CAFile, "--etcd-cert", s.tls.CertFile, "--etcd-key", s.tls.KeyFile}
	}
	s.url = scheme + client
	// It is called as a node is: its members are not the nodes' business.
	s.flags = append(s.flags, "--name", "b",
		"--data-dir", filepath.Join(s.dir, "data"), "--listen-client-urls", s.url, "--advertise-client-urls", s.url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "b="+peer,
	)
	t.Cleanup(s.kill)
	return s, settings
}

// start starts the etcd and returns once it answers: it has its ports by then,
// and whoever founds a cluster does not wait for long.
func (s *store) start() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.process = exec.CommandContext(context.WithoutCancel(s.t.Context()), "etcd", s.flags...)
	s.process.Stdout, s.process.Stderr = log, log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := errors.Join(s.process.Start(), log.Close()); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	asking, err := etcd.Open(ctx, etcd.Params{Endpoints: []string{s.url}, TLS: s.tls})
	if err == nil {
		err = errors.Join(asking.Reach(ctx), asking.Close(ctx))
	}
	if err != nil {
		text, _ := os.ReadFile(log.Name()) // only for the message
		s.t.Fatalf("%v\n%s", err, text)
	}
}

func (s *store) kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait() // it says that it was killed
	s.process = nil
}

// freePorts returns addresses that nobody listens on right now.
func freePorts(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for range n {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // all at the end, or one could come twice
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// outsideAuthority vouches for an etcd and its clients, and for no node.
type outsideAuthority struct {
	t *testing.T
	*identity.Authority
}

func newAuthority(t *testing.T) outsideAuthority {
	t.Helper()
	ca, err := identity.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return outsideAuthority{t, ca}
}

func (a outsideAuthority) issue(dir string) {
	a.t.Helper()
	var id block.NodeID
	_, _ = rand.Read(id[:]) // never fails
	key, request, err := identity.NewKey()
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := a.Issue(request, id, []string{"127.0.0.1"}, time.Now())
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err := errors.Join(err, identity.Save(dir, a.Certificate(), certificate, key)); err != nil {
		a.t.Fatal(err)
	}
}

// refusedUp returns what lagan up says on an empty directory.
func refusedUp(t *testing.T, n *cluster.Node, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	data := filepath.Join(filepath.Dir(n.Dir()), "refused-"+filepath.Base(t.Name()))
	all := append([]string{"up", "--data", data, "--run", data + "-run", "--plugin-socket", "none"}, n.Birth()...)
	_, err := n.Lagan(ctx, nil, append(all, arguments...)...)
	if err == nil {
		t.Fatalf("up with %v was not refused", arguments)
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("up that was refused left %s: %v", data, err)
	}
	return err.Error()
}

func TestE2EClusterOnAnEtcdThatOthersRun(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"tls": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			s, settings := newStore(t, secure) // it ends after the nodes, which stop in order
			s.start()
			c := newCluster(t, "128MiB", "a", "b", "c")
			a, b := c.Node("a"), c.Node("b")
			a.SetArguments(append(settings, "--etcd-endpoints", s.url)...)
			b.SetArguments(settings...) // where it is b is told by a
			start(t, c, "a", "b")
			a.SetArguments()
			b.SetArguments()
			until(t, c, "both disks are known", func() (bool, error) {
				disks, err := a.Client().Disks(t.Context())
				return len(disks) == 2, err
			})
			create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
			attach(t, a, "db", api.Attach{})
			content := random(mebi)
			if _, err := a.Client().WriteBlocks(t.Context(), "db", 0, bytes.NewReader(content)); err != nil {
				t.Fatal(err)
			}
			if said := refusedUp(t, c.Node("c"), append(settings, "--etcd-endpoints", s.url)...); !strings.Contains(said, "has a cluster already, lagan") || !strings.Contains(said, "lagan join") {
				t.Errorf("a second cluster there: %s", said)
			}
			s.kill()
			until(t, c, "a says what is missing", func() (bool, error) {
				err := a.Client().Ready(t.Context())
				return err != nil && strings.Contains(err.Error(), s.url), nil
			})
			if _, err := a.Client().WriteBlocks(t.Context(), "db", mebi, bytes.NewReader(content)); err != nil {
				t.Errorf("writing to what is attached without the etcd: %v", err)
			}
			s.start()
			if err := errors.Join(a.AwaitReady(t.Context()), b.AwaitReady(t.Context())); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(a.Stop(t.Context()), b.Stop(t.Context())); err != nil {
				t.Fatal(err)
			}
			start(t, c, "b", "a") // without flags
			until(t, c, "the volume can be used on the other node", func() (bool, error) {
				_, err := b.Client().Attach(t.Context(), "db", api.Attach{})
				return err == nil, err
			})
			wantContent(t, b, "db", 0, content)
			wantContent(t, b, "db", mebi, content)
			if err := b.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			until(t, c, "b is removed", func() (bool, error) {
				err := a.Client().RemoveNode(t.Context(), "b")
				return err == nil, err
			})
			create(t, a, "next", map[string]string{"size": "16MiB", "fs": "none"})
			if entries, err := os.ReadDir(filepath.Join(a.Dir(), "etcd")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a has a member of its own: %v, %v", entries, err)
			}
		})
	}
}

func TestE2EEtcdThatLetsNobodyInIsNamed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a")
	s, settings := newStore(t, true)
	s.start()
	stranger := filepath.Join(s.dir, "stranger")
	newAuthority(t).issue(stranger)
	at := func(url string) []string { return []string{"--etcd-endpoints", url} }
	closed := "https://" + freePorts(t, 1)[0]
	for name, x := range map[string]struct {
		flags []string
		want  []string
	}{
		"nobody":      {append(at(closed), settings...), []string{closed, "connection refused"}},
		"authority":   {append(at(s.url), "--etcd-ca", filepath.Join(stranger, identity.AuthorityFile)), []string{s.url, "certificate"}},
		"system":      {at(s.url), []string{s.url, "unknown authority"}},
		"proof":       {append(at(s.url), settings[:2]...), []string{s.url, "certificate"}},
		"wrong-proof": {append(at(s.url), settings[0], settings[1], "--etcd-cert", filepath.Join(stranger, identity.CertificateFile), "--etcd-key", filepath.Join(stranger, identity.KeyFile)), []string{s.url, "certificate"}},
		"plain":       {at(strings.Replace(s.url, "https", "http", 1)), []string{"--etcd-ca"}},
		"file":        {append(at(s.url), "--etcd-ca", "/none/ca.crt"), []string{"/none/ca.crt"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := refusedUp(t, c.Node("a"), x.flags...)
			for _, want := range x.want {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q: %s", want, said)
				}
			}
		})
	}
}
