// Package datadir keeps what one node must find again after a restart: who it
// is and which disks it has formatted. It owns the node's data directory and
// lets one process into it.
//
//	DIR/lock        held by the process that uses the directory
//	DIR/node.json   the node's identity, its disks and what it was given at its start
//	DIR/cluster.json  the cluster it belongs to and where that is found; written last
//	DIR/tls         its certificate and key
//	RUN/tainted     disks that may have lost accepted writes, until the next boot
//
// A disk is formatted once, when its path is new to the node. After that a file
// that is missing or carries something else is reported and never formatted
// over. cmd/lagan calls the package before it opens a host.
package datadir

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
)

// format is the version of node.json.
const format = 1

const (
	lockFile = "lock"
	nodeFile = "node.json"
	dirMode  = 0o700
	fileMode = 0o600
)

// ErrInUse says that another process uses the data directory.
var ErrInUse = errors.New("in use")

// Dir is a data directory that this process holds.
type Dir struct {
	path    string
	lock    *os.File
	cluster *Cluster

	mu     sync.Mutex // guards what follows: disks come and go while the node runs
	record record
}

// record is node.json.
type record struct {
	Format int          `json:"format"`
	Node   block.NodeID `json:"node"`
	Disks  []diskRecord `json:"disks,omitempty"`

	Settings *Settings `json:"settings,omitempty"` // nil: it belongs to no cluster yet
}

type diskRecord struct {
	Path      string       `json:"path"`
	ID        block.DiskID `json:"id"`
	Formatted bool         `json:"formatted"` // until then the disk never served
	// Added says that the disk came while the node ran: every later start opens it,
	// whatever disks that is given.
	Added bool `json:"added,omitempty"`
	// Removed says that the disk went while the node ran: no later start opens it,
	// even if that is given it.
	Removed bool `json:"removed,omitempty"`
}

// Open takes the directory at path, which is made when missing. A new one gets
// the identity node, or one at random if that is zero; one that belongs to
// another node is refused.
func Open(path string, node block.NodeID) (*Dir, error) {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := acquire(filepath.Join(path, lockFile))
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	d := &Dir{path: path, lock: lock}
	if err := d.load(node); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if d.cluster, err = readCluster(path); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// acquire locks a file against a second process; the lock ends with this one.
func acquire(name string) (*os.File, error) {
	lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		holder := make([]byte, 32)
		n, _ := lock.ReadAt(holder, 0) // only for the message
		err = fmt.Errorf("%w by process %s: stop that one first, or give this one a directory of its own", ErrInUse, holder[:n])
		return nil, errors.Join(err, lock.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock: %w", err), lock.Close())
	}
	text := fmt.Sprint(os.Getpid())
	if _, err := lock.WriteAt([]byte(text), 0); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := lock.Truncate(int64(len(text))); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// load reads node.json, or makes it.
func (d *Dir) load(node block.NodeID) error {
	name := filepath.Join(d.path, nodeFile)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if node == (block.NodeID{}) {
			_, _ = rand.Read(node[:]) // never fails
		}
		d.record = record{Format: format, Node: node}
		return d.save()
	}
	if err != nil {
		return fmt.Errorf("read the node's identity: %w", err)
	}
	if err := json.Unmarshal(data, &d.record); err != nil {
		return fmt.Errorf("%s cannot be read (%w): restore it from a backup; without it the node's disks belong to nobody", name, err)
	}
	switch own := d.record.Node; {
	case d.record.Format > format:
		return fmt.Errorf("%s has format %d, this version reads up to %d: start the newer version of lagan", name, d.record.Format, format)
	case own == block.NodeID{}:
		return fmt.Errorf("%s names no node: restore it from a backup", name)
	case node != block.NodeID{} && node != own:
		return fmt.Errorf("%s belongs to node %v, the certificate to node %v: give the node the directory or the certificate that is its own", d.path, own, node)
	}
	return nil
}

// save replaces node.json by one that is whole after any crash.
func (d *Dir) save() (err error) {
	data, err := json.MarshalIndent(d.record, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the node's identity: %w", err)
	}
	return replace(filepath.Join(d.path, nodeFile), append(data, '\n'))
}

// replace writes a file beside name, syncs it, renames it and syncs the directory.
func replace(name string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Node returns the node's identity.
func (d *Dir) Node() block.NodeID { return d.record.Node }

// Path returns the name of a file or directory in d.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Close lets another process in.
func (d *Dir) Close() error { return d.lock.Close() }
