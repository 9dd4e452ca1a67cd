package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
)

const (
	// lifetime of every certificate: they are not renewed yet, and one that
	// ran out would stop a cluster that nobody is looking at.
	lifetimeYears = 10
	// backdate allows for a joining node whose clock is behind.
	backdate = time.Hour

	certificateType = "CERTIFICATE"
	requestType     = "CERTIFICATE REQUEST"
	keyType         = "PRIVATE KEY"
)

// Authority vouches for the nodes of one cluster.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes the authority of a new cluster, valid from now on.
func NewAuthority(now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the authority: %w", err)
	}
	template, err := newTemplate("lagan cluster authority", now)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of the authority: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of the authority: %w", err)
	}
	return &Authority{certificate: certificate, key: key}, nil
}

// ParseAuthority reads what Certificate and Key wrote.
func ParseAuthority(certificatePEM, keyPEM []byte) (*Authority, error) {
	der, err := decode(certificatePEM, certificateType)
	if err != nil {
		return nil, fmt.Errorf("certificate of the authority: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate of the authority: %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("key of the authority: %w", err)
	}
	if !certificate.IsCA || !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, errors.New("certificate and key of the authority do not belong together: restore the pair from one backup")
	}
	return &Authority{certificate: certificate, key: key}, nil
}

// Certificate returns the authority's certificate as PEM: no secret.
func (a *Authority) Certificate() []byte { return encode(certificateType, a.certificate.Raw) }

// Hash returns what a token says of the authority.
func (a *Authority) Hash() Hash { return HashOf(a.certificate.Raw) }

// Key returns the authority's private key as PEM: whoever reads it can be any node.
func (a *Authority) Key() ([]byte, error) { return encodeKey(a.key) }

// Issue answers a node's request (see NewKey) with a certificate as PEM. Of the
// request only the public key counts: who is named is the caller's decision.
// hosts are the addresses and names under which the node's API and metadata
// store are reached.
func (a *Authority) Issue(requestPEM []byte, node block.NodeID, hosts []string, now time.Time) ([]byte, error) {
	der, err := decode(requestPEM, requestType)
	if err != nil {
		return nil, fmt.Errorf("certificate request of node %v: %w", node, err)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request of node %v: %w", node, err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request of node %v: %w", node, err)
	}
	template, err := newTemplate("lagan node "+node.String(), now)
	if err != nil {
		return nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.URIs = []*url.URL{{Scheme: "lagan", Host: "node", Path: "/" + node.String()}}
	template.DNSNames = []string{node.String() + dnsSuffix, AnyNode}
	for _, host := range hosts {
		if strings.HasSuffix(strings.ToLower(host), dnsSuffix) {
			return nil, fmt.Errorf("certificate of node %v: host %q names another node: leave it out", node, host)
		}
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	issued, err := x509.CreateCertificate(rand.Reader, template, a.certificate, request.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of node %v: %w", node, err)
	}
	return encode(certificateType, issued), nil
}

// NewKey makes a node's private key and the request for a certificate, both as PEM.
func NewKey() (keyPEM, requestPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a node key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate request: %w", err)
	}
	keyPEM, err = encodeKey(key)
	return keyPEM, encode(requestType, der), err
}

func newTemplate(name string, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.AddDate(lifetimeYears, 0, 0),
	}, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return encode(keyType, der), nil
}

func decode(data []byte, kind string) ([]byte, error) {
	b, _ := pem.Decode(data)
	if b == nil || b.Type != kind {
		return nil, fmt.Errorf("no PEM block %q found", kind)
	}
	return b.Bytes, nil
}

func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	der, err := decode(data, keyType)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("private key is a %T, want ECDSA", parsed)
	}
	return key, nil
}
