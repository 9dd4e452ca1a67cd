package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The files of an identity in its directory.
const (
	AuthorityFile    = "ca.crt"
	AuthorityKeyFile = "ca.key"
	CertificateFile  = "node.crt"
	KeyFile          = "node.key"
)

const (
	publicMode = 0o644
	secretMode = 0o600
)

// Save writes a node's certificate, key and the certificate of the authority to
// dir. Each file is either the old one or the new one, whole, after any crash;
// the certificate comes last, so that Load never takes half an identity.
func Save(dir string, authorityPEM, certificatePEM, keyPEM []byte) error {
	if err := writeFile(filepath.Join(dir, AuthorityFile), authorityPEM, publicMode); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, KeyFile), keyPEM, secretMode); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, CertificateFile), certificatePEM, publicMode)
}

// Load reads what Save wrote and checks that it belongs together.
func Load(dir string) (*Identity, error) {
	keyPath := filepath.Join(dir, KeyFile)
	if err := checkSecret(keyPath); err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(filepath.Join(dir, AuthorityFile))
	if err != nil {
		return nil, fmt.Errorf("load the node's identity: %w", err)
	}
	certificate, err := os.ReadFile(filepath.Join(dir, CertificateFile))
	if err != nil {
		return nil, fmt.Errorf("load the node's identity: %w", err)
	}
	key, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, fmt.Errorf("load the node's identity: %w", err)
	}
	identity, err := Parse(authority, certificate, key)
	if err != nil {
		return nil, fmt.Errorf("load the node's identity from %s: %w", dir, err)
	}
	return identity, nil
}

// Parse puts an identity together from its parts in PEM.
func Parse(authorityPEM, certificatePEM, keyPEM []byte) (*Identity, error) {
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("node certificate: %w", err)
	}
	node, err := NodeOf(pair.Leaf)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	der, err := decode(authorityPEM, certificateType)
	if err != nil || !pool.AppendCertsFromPEM(authorityPEM) {
		return nil, errors.Join(errors.New("certificate of the authority cannot be read"), err)
	}
	return &Identity{Node: node, Certificate: pair, Authority: pool, AuthorityDER: der}, nil
}

// SaveAuthority writes an authority to dir, as Save does a node's identity.
func SaveAuthority(dir string, a *Authority) error {
	key, err := a.Key()
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, AuthorityKeyFile), key, secretMode); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, AuthorityFile), a.Certificate(), publicMode)
}

// LoadAuthority reads what SaveAuthority wrote.
func LoadAuthority(dir string) (*Authority, error) {
	keyPath := filepath.Join(dir, AuthorityKeyFile)
	if err := checkSecret(keyPath); err != nil {
		return nil, err
	}
	certificate, err := os.ReadFile(filepath.Join(dir, AuthorityFile))
	if err != nil {
		return nil, fmt.Errorf("load the cluster's authority: %w", err)
	}
	key, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, fmt.Errorf("load the cluster's authority: %w", err)
	}
	return ParseAuthority(certificate, key)
}

// checkSecret refuses a key that others can read.
func checkSecret(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("private key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("private key %s can be read by others (mode %#o): chmod 600 %s, and consider it known", path, info.Mode().Perm(), path)
	}
	return nil
}

// writeFile replaces path by a file with data: written beside it, synced,
// renamed, and the directory synced.
func writeFile(path string, data []byte, mode os.FileMode) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
