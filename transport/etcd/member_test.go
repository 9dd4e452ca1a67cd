package etcd

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lagan-storage/lagan/core/metadata"
)

// memberEnv makes the test binary be one member, described in it.
const memberEnv = "LAGAN_TEST_MEMBER"

func TestMain(m *testing.M) {
	if text := os.Getenv(memberEnv); text != "" {
		os.Exit(beMember(text))
	}
	code := m.Run()
	if err := leaks(); code == 0 && err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
}

// leaks finds goroutines that are left when everything is closed, except those
// of etcd's connections between members: some of them notice only by their read
// timeout of 5 s that the other member is gone.
func leaks() error {
	return goleak.Find(
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"),
		goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	)
}

// beMember runs a member until standard input ends.
func beMember(text string) int {
	var p MemberParams
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return 2
	}
	m, err := StartMember(context.Background(), p)
	if err != nil {
		_, _ = os.Stdout.WriteString(err.Error() + "\n")
		return 1
	}
	_, _ = os.Stdout.WriteString("ready\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := m.Close(context.Background()); err != nil {
		return 1
	}
	return 0
}

// process starts a member in a process of its own and waits until it serves.
func process(t *testing.T, p MemberParams) *exec.Cmd {
	t.Helper()
	cmd, said := launch(t, p)
	if said != "ready\n" {
		t.Fatalf("the member said %q", said)
	}
	return cmd
}

// launch starts a member in a process of its own and returns the first it says.
func launch(t *testing.T, p MemberParams) (*exec.Cmd, string) {
	t.Helper()
	p.Logger = nil
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memberEnv+"="+string(text))
	if _, err := cmd.StdinPipe(); err != nil { // ends with this process, and the member with it
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	line := make([]byte, 4096)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, string(line[:n])
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// lone describes a cluster of one member that was not started.
func lone(t *testing.T) *testCluster {
	t.Helper()
	t.Parallel()
	ports := freePorts(t, 2)
	url := "http://" + address(ports[0])
	return &testCluster{t: t, members: make([]*Member, 1), params: []MemberParams{{
		Name: "n1", Dir: filepath.Join(t.TempDir(), "etcd"), Cluster: map[string][]string{"n1": {url}}, Token: t.Name(),
		ListenClient: address(ports[1]), Logger: testLogger(t),
		Tick: 20 * time.Millisecond, Election: 200 * time.Millisecond,
	}}}
}

func address(port int) string { return (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String() }

func TestExternalMemberIsKilledAndComesBackWithEverythingAnswered(t *testing.T) {
	c := lone(t)
	member := process(t, c.params[0])
	s := c.open()
	f := follow(t, watchAll(s))
	f.next(snapshot)
	insist(t, s, put("/w/a", "1"))
	f.next(changed)
	kill(member)
	process(t, c.params[0])
	if r := insist(t, s, metadata.Txn{Read: []string{"/w/a"}}); len(r.Items) != 1 {
		t.Fatalf("a write that was answered is gone: %+v", r)
	}
	second := insist(t, s, put("/w/a", "2"))
	if u := f.next(changed); u.Snapshot || u.Revision != second.Revision {
		t.Errorf("the watch after the restart: %+v", u)
	}
}

func TestDirectoryOfAnotherProcessIsRefused(t *testing.T) {
	c := lone(t)
	process(t, c.params[0])
	_, err := StartMember(t.Context(), c.params[0])
	if !errors.Is(err, ErrDirInUse) || !strings.Contains(err.Error(), c.params[0].Dir) {
		t.Errorf("a second member on the directory: %v", err)
	}
	// A plain etcd holds only its database.
	if err := os.Remove(filepath.Join(c.params[0].Dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := StartMember(t.Context(), c.params[0]); !errors.Is(err, ErrDirInUse) {
		t.Errorf("a member on the directory of a plain etcd: %v", err)
	}
}

func TestPortInUseIsNamed(t *testing.T) {
	c := lone(t)
	taken, err := net.Listen("tcp", c.params[0].ListenClient)
	if err != nil {
		t.Fatal(err)
	}
	_, err = StartMember(t.Context(), c.params[0])
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), c.params[0].ListenClient) {
		t.Errorf("start on a port in use: %v", err)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	// Nothing of the failed start is left.
	c.startAll()
}

func TestDamagedDataIsNamed(t *testing.T) {
	c := lone(t)
	c.startAll()
	c.stopOne(0)
	logs, err := filepath.Glob(filepath.Join(c.params[0].Dir, "member", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatal("no log found", err)
	}
	if err := os.WriteFile(logs[0], bytes.Repeat([]byte{0xff}, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	_, said := launch(t, c.params[0])
	if !strings.Contains(said, ErrMemberFailed.Error()) || !strings.Contains(said, c.params[0].Dir) {
		t.Errorf("start on a damaged log: %s", said)
	}
}

// etcd opens its database on a goroutine of its own and panics there.
func TestDatabaseThatCannotBeOpenedEndsTheMemberAndNotTheProcess(t *testing.T) {
	c := lone(t)
	c.startAll()
	c.stopOne(0)
	database := filepath.Join(c.params[0].Dir, "member", "snap", "db")
	if err := os.WriteFile(database, bytes.Repeat([]byte{0xff}, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	_, said := launch(t, c.params[0])
	if !strings.Contains(said, ErrMemberFailed.Error()) || !strings.Contains(said, c.params[0].Dir) || strings.Contains(said, "goroutine") {
		t.Errorf("start on a database that is none: %s", said)
	}
}

func TestStartGivesUpWithoutMajorityAndSaysWhoIsMissing(t *testing.T) {
	c := lone(t)
	missing := "http://" + address(freePorts(t, 1)[0])
	c.params[0].Cluster["n2"] = []string{missing}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := StartMember(ctx, c.params[0])
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), missing) {
		t.Errorf("start without a majority: %v", err)
	}
}

func TestMemberOfAnotherClusterIsToldSo(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.stopOne(2)
	p := c.params[2]
	// A member that lost its directory must not vote again under its old name.
	p.Dir, p.Token = t.TempDir(), c.params[2].Token
	if _, err := StartMember(t.Context(), p); !errors.Is(err, ErrAlreadyMember) {
		t.Errorf("a member without its data: %v", err)
	}
	// With another token it has another identity.
	p.Dir, p.Token = t.TempDir(), "another"
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := StartMember(ctx, p); !errors.Is(err, ErrForeignCluster) {
		t.Errorf("a member with another token: %v", err)
	}
}

func TestMembersAndClientsProveThemselves(t *testing.T) {
	authority := newAuthority(t)
	c := newCluster(t, 3, authority.issue("node"))
	s := c.open()
	if r := insist(t, s, put("/a", "1")); r.Outcome != metadata.Applied {
		t.Errorf("a write over TLS: %+v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	stranger := c.open(func(p *Params) {
		p.TLS = newAuthority(t).issue("stranger")
		p.TLS.CAFile = authority.file
	})
	if r := stranger.Do(ctx, metadata.Txn{Read: []string{"/a"}}); r.Outcome != metadata.Unknown {
		t.Errorf("a client of another authority reads %+v", r)
	}
}

func TestMemberStopsInBoundedTimeWithoutMajority(t *testing.T) {
	c := newCluster(t, 3, nil)
	s := c.open()
	follow(t, watchAll(s)).next(snapshot)
	c.stopOne(0)
	c.stopOne(1)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := c.members[2].Close(ctx); err != nil {
		t.Error(err)
	}
	if err := c.members[2].Wait(t.Context()); err != nil {
		t.Errorf("Wait after Close: %v", err)
	}
}

func TestMemberParamsAreChecked(t *testing.T) {
	good := MemberParams{
		Name: "n1", Dir: "/x", ListenClient: "0.0.0.0:7303", AdvertiseClient: "10.0.0.1:7303",
		Cluster: map[string][]string{"n1": {"http://10.0.0.1:7302"}},
	}
	if p, err := good.withDefaults(); err != nil || p.ListenPeer != "10.0.0.1:7302" {
		t.Errorf("defaults: %+v, %v", p, err)
	}
	for name, spoil := range map[string]func(*MemberParams){
		"not in the list":     func(p *MemberParams) { p.Name = "n2" },
		"no directory":        func(p *MemberParams) { p.Dir = "" },
		"advertises anything": func(p *MemberParams) { p.AdvertiseClient = "" },
	} {
		p := good
		if spoil(&p); p.Name != "" {
			if _, err := p.withDefaults(); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	}
}

// authority is a certificate authority of a test.
type authority struct {
	t    *testing.T
	dir  string
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	a.key, der = a.sign(a.cert, nil)
	a.file = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

// sign makes a key and a certificate for it; without a parent it signs itself.
func (a *authority) sign(template *x509.Certificate, parent *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if parent == nil {
		parent = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), parent)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

func (a *authority) issue(name string) *TLS {
	key, der := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.key)
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &TLS{
		CertFile: a.write(name+".pem", "CERTIFICATE", der),
		KeyFile:  a.write(name+".key", "EC PRIVATE KEY", private),
		CAFile:   a.file,
	}
}

func (a *authority) write(name, kind string, der []byte) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// docs/metrics.md says so.
func TestMemberShowsItsMetricsAtItsClientPort(t *testing.T) {
	c := newCluster(t, 1, nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.endpoints()[0]+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if _ = response.Body.Close(); err != nil || !strings.Contains(string(text), "\netcd_server_has_leader 1\n") {
		t.Errorf("answered %s, %v: %.300s", response.Status, err, text)
	}
}
