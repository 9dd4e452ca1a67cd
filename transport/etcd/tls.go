package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"go.etcd.io/etcd/client/pkg/v3/transport"
)

// TLS names the files of a node's identity. All members and clients have
// certificates of the same authority, good for serving and for dialling, and
// each side demands the other's.
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
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load the node's certificate %s and key %s: %w", t.CertFile, t.KeyFile, err)
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate: name the file with the cluster's authority", t.CAFile)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ServerName: t.ServerName, MinVersion: tls.VersionTLS12}, nil
}

// scheme returns how URLs of this identity begin.
func (t *TLS) scheme() string {
	if t == nil {
		return "http"
	}
	return "https"
}
