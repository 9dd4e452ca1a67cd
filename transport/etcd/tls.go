package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"go.etcd.io/etcd/client/pkg/v3/transport"
)

// TLS names the files of a node's identity. All members of ours and their
// clients have certificates of the same authority, good for serving and for
// dialling, and each side demands the other's.
//
// An etcd that others run may demand less: a client without CertFile and KeyFile
// shows no certificate, and one without CAFile trusts whom the machine trusts.
type TLS struct {
	CertFile string
	KeyFile  string
	CAFile   string

	// ServerName, if set, is a name that every member's certificate carries,
	// and is asked for instead of the host: members may move to other addresses.
	ServerName string
}

// server returns the identity in the form an etcd member takes it. Whoever
// shows a certificate of our authority is one of us, whatever address it comes
// from: a node's connections may leave through another address than the one it
// advertises.
func (t *TLS) server() transport.TLSInfo {
	if t == nil {
		return transport.TLSInfo{}
	}
	return transport.TLSInfo{
		CertFile: t.CertFile, KeyFile: t.KeyFile, TrustedCAFile: t.CAFile,
		ServerName: t.ServerName, ClientCertAuth: true, SkipClientSANVerify: true, MinVersion: tls.VersionTLS12,
	}
}

// client returns the identity in the form a dialler takes it.
func (t *TLS) client() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CertFile != "" || t.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load the certificate %s and key %s for the metadata store: %w", t.CertFile, t.KeyFile, err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	var pool *x509.CertPool
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the authority of the metadata store: %w", err)
		}
		pool = x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate: name the file with the authority of the metadata store", t.CAFile)
		}
		c.RootCAs = pool
	}
	if t.ServerName != "" {
		// gRPC puts the host of the URL into ServerName, whatever is there. What
		// the standard verifier does is done below, with the name that counts.
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(s tls.ConnectionState) error {
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, DNSName: t.ServerName})
			return err
		}
	}
	return c, nil
}

// Scheme returns how URLs of this identity begin.
func (t *TLS) Scheme() string {
	if t == nil {
		return "http"
	}
	return "https"
}
