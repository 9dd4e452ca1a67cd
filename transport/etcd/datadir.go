package etcd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrDirInUse says that another process works on the data directory of a member.
var ErrDirInUse = errors.New("data directory is in use by another process")

// lockDir makes the data directory of a member and takes it for this process
// until the file is closed. etcd itself would wait, without end, for whoever
// holds its database.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make etcd's data directory: %w", err)
	}
	lock, err := flock(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, inUse(dir, err)
	}
	// A plain etcd started on the directory knows no lock of ours.
	db, err := flock(filepath.Join(dir, "member", "snap", "db"), os.O_RDWR)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return lock, nil
	case err != nil:
		return nil, errors.Join(inUse(dir, err), lock.Close())
	}
	return lock, db.Close()
}

func inUse(dir string, err error) error {
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: %s: stop the other daemon, or give this one a directory of its own", ErrDirInUse, dir)
	}
	return fmt.Errorf("lock etcd's data directory %s: %w", dir, err)
}

// flock opens path and locks it, or returns EWOULDBLOCK.
func flock(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Discard removes the data of a member that the cluster took out and that does
// not run. Another one may be started in dir.
func Discard(dir string) error {
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, "member")); err != nil {
		return errors.Join(fmt.Errorf("remove the data of a former etcd member: %w", err), lock.Close())
	}
	return lock.Close()
}

// HasMember reports whether dir holds the data of a member that has started.
func HasMember(dir string) (bool, error) {
	logs, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
	return len(logs) > 0, err
}
