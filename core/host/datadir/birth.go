package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lagan-storage/lagan/core/block"
)

// TLSDir is where a data directory has the node's certificate and key.
const TLSDir = "tls"

// Birth is a data directory that is being made and held against others.
type Birth struct {
	path string
	made string // the topmost directory that did not exist before
	lock *os.File
}

// Prepare takes a directory that must hold nothing of a node. Settle or Abandon
// ends it.
func Prepare(path string) (*Birth, error) {
	if s, c, err := Lookup(path); err != nil || c != nil {
		if err == nil {
			err = fmt.Errorf("%s belongs to node %s of cluster %s already: start it with  lagan up --data %s", path, s.Name, c.Name, path)
		}
		return nil, err
	}
	b := &Birth{path: path}
	for dir := path; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("data directory: %w", err)
		}
		b.made = dir
	}
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	var err error
	if b.lock, err = acquire(filepath.Join(path, lockFile)); err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	for _, name := range []string{nodeFile, TLSDir, "etcd"} {
		if _, err := os.Stat(filepath.Join(path, name)); !errors.Is(err, fs.ErrNotExist) {
			err = errors.Join(fmt.Errorf("%s has %s of a node that was never finished: choose another --data, or remove what is there", path, name), err)
			return nil, errors.Join(err, b.release())
		}
	}
	return b, nil
}

// Settle makes the directory the node's. identify writes the certificate and the
// keys to a directory. After an error, or a crash before the end, the directory
// belongs to nobody.
func (b *Birth) Settle(node block.NodeID, s Settings, c Cluster, identify func(dir string) error) error {
	err := os.Mkdir(filepath.Join(b.path, TLSDir), dirMode)
	if err == nil {
		err = identify(filepath.Join(b.path, TLSDir))
	}
	if err == nil {
		d := &Dir{path: b.path, record: record{Format: format, Node: node, Settings: &s}}
		err = d.save()
	}
	if err == nil {
		c.Format = format
		err = writeCluster(b.path, c)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make data directory %s: %w", b.path, err), b.Abandon())
	}
	return b.lock.Close()
}

// Abandon leaves nothing of the birth behind.
func (b *Birth) Abandon() error {
	for _, name := range []string{clusterFile, nodeFile, TLSDir} { // in this order: see Settle
		if err := os.RemoveAll(filepath.Join(b.path, name)); err != nil {
			return errors.Join(err, b.lock.Close())
		}
	}
	return b.release()
}

// release removes the lock and the directories that were made, and nothing else.
func (b *Birth) release() error {
	err := os.Remove(filepath.Join(b.path, lockFile))
	for dir := b.path; b.made != "" && err == nil; dir = filepath.Dir(dir) {
		err = os.Remove(dir)
		if dir == b.made {
			break
		}
	}
	return errors.Join(err, b.lock.Close())
}
