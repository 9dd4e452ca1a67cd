package nbd_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/device/nbd/wire"
)

// newCertificate makes an authority and a certificate of it for this machine, and
// leaves both in a directory as GnuTLS's clients look for them.
func newCertificate(t *testing.T) (pair tls.Certificate, authority *x509.CertPool, dir string) {
	t.Helper()
	now := time.Now()
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		if signer == nil {
			parent, signer = template, key
		}
		template.Subject.CommonName = "test"
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(now.UnixNano()), now.Add(-time.Hour), now.Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		must(t, err)
		certificate, err := x509.ParseCertificate(der)
		must(t, err)
		return certificate, key
	}
	root, rootKey := issue(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	own, key := issue(&x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, root, rootKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	dir = t.TempDir()
	for name, block := range map[string]*pem.Block{
		"ca-cert.pem":     {Type: "CERTIFICATE", Bytes: root.Raw},
		"client-cert.pem": {Type: "CERTIFICATE", Bytes: own.Raw},
		"client-key.pem":  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
	authority = x509.NewCertPool()
	authority.AddCert(root)
	return tls.Certificate{Certificate: [][]byte{own.Raw}, PrivateKey: key}, authority, dir
}

// serveTLS serves at a port of this machine, for those with a certificate alone.
func serveTLS(t *testing.T, s served) (address, dir string, asClient *tls.Config) {
	t.Helper()
	pair, authority, dir := newCertificate(t)
	address = listen(t, s.Server, "tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority,
	}).String()
	return address, dir, &tls.Config{MinVersion: tls.VersionTLS13, ServerName: "127.0.0.1", RootCAs: authority, Certificates: []tls.Certificate{pair}}
}

// secure begins to talk to a server and puts TLS on the connection.
func secure(t *testing.T, address string, config *tls.Config) client {
	t.Helper()
	c := dial(t, "tcp", address)
	c.read(wire.GreetingBytes)
	c.write([]byte{0, 0, 0, wire.HandshakeFixed | wire.HandshakeNoZeroes})
	if got := c.verdict(wire.OptStartTLS, ""); got != wire.RepAck {
		t.Fatalf("TLS: %#x", got)
	}
	return client{tls.Client(c.Conn, config), t}
}

func TestPortServesNobodyWithoutTLS(t *testing.T) {
	s := serve(t)
	s.export(t, "db", memory.New(mib), false)
	address, _, _ := serveTLS(t, s)
	c := dial(t, "tcp", address)
	c.read(wire.GreetingBytes)
	c.write([]byte{0, 0, 0, wire.HandshakeFixed | wire.HandshakeNoZeroes})
	for _, kind := range []wire.OptionKind{wire.OptList, wire.OptGo, wire.OptInfo, wire.OptStructuredReply, wire.OptSetMeta} {
		if got := c.verdict(kind, ""); got != wire.RepErrTLSRequired {
			t.Errorf("option %d: %#x", kind, got)
		}
	}
	c.say(wire.OptExportName, "db")
	c.ended()
}

func TestPortServesNobodyWithoutCertificate(t *testing.T) {
	s := serve(t)
	address, _, config := serveTLS(t, s)
	stranger := config.Clone()
	stranger.Certificates = nil
	c := secure(t, address, stranger)
	_, _ = c.Write([]byte("whatever")) // the client hears of it when it reads
	s.log.await("agree on TLS")
}

func TestWhatWasAgreedOnBeforeTLSDoesNotCount(t *testing.T) {
	s := serve(t)
	s.export(t, "db", memory.New(mib), false)
	address, _, config := serveTLS(t, s)
	c := secure(t, address, config)
	if got := c.verdict(wire.OptSetMeta, meta("db")); got != wire.RepErrInvalid {
		t.Errorf("structured replies were not agreed on: %#x", got)
	}
	if got := c.verdict(wire.OptStartTLS, ""); got != wire.RepErrInvalid {
		t.Errorf("TLS in TLS: %#x", got)
	}
	c.ask(wire.OptStructuredReply, "")
	if got := c.verdict(wire.OptGo, info("db")); got != wire.RepAck {
		t.Errorf("over TLS: %#x", got)
	}
	want := pattern(mib/2, 3)
	if errno, _ := c.do(wire.CmdWrite, 0, 0, mib/2, want); errno != wire.OK {
		t.Errorf("write: %d", errno)
	}
	if errno, got := c.do(wire.CmdRead, 0, 0, mib/2, nil); errno != wire.OK || string(got) != string(want) {
		t.Errorf("read: %d, or other bytes than were written", errno)
	}
	if errno, _ := c.do(wire.CmdRead, 0, 0, block.Size, nil); errno != wire.OK {
		t.Errorf("read: %d", errno)
	}
}
