package etcd

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"
	etcdutl "go.etcd.io/etcd/etcdutl/v3/snapshot"
)

// restoreBump is how far the revisions of a restored store leap: above all that the
// lost one had after the backup, so that no guard of a former transaction holds by chance.
const restoreBump = 1_000_000_000

// ErrDamagedBackup says that a file is no whole backup of a metadata store.
var ErrDamagedBackup = errors.New("not a whole backup of a metadata store")

// Backup copies the content of the whole store to w, as of one revision that is not
// before the call. The last 32 bytes are the SHA-256 of all others: see CheckBackup.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	ctx, cancel := s.scope(ctx)
	defer cancel()
	var content io.ReadCloser
	err := s.read(ctx, func(_ context.Context, e *endpoint) error {
		try, stop := context.WithTimeout(ctx, readTryMax)
		defer stop()
		if _, err := e.client.Get(try, "/", clientv3.WithCountOnly()); err != nil { // by now it knows what all know
			return err
		}
		var err error
		content, err = e.client.Snapshot(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("back the metadata store up: %w", err)
	}
	_, err = io.Copy(w, content)
	if err = errors.Join(err, content.Close()); err != nil {
		return fmt.Errorf("back the metadata store up: %w", err)
	}
	return nil
}

// CheckBackup returns an error if the file at path is not what Backup wrote, to its
// last byte.
func CheckBackup(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the backup: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open the backup: %w", err)
	}
	if info.Size() <= sha256.Size {
		return fmt.Errorf("%w: %s has %d bytes: take it again, or use another one", ErrDamagedBackup, path, info.Size())
	}
	sum, want := sha256.New(), make([]byte, sha256.Size)
	if _, err := io.CopyN(sum, f, info.Size()-sha256.Size); err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	if _, err := io.ReadFull(f, want); err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	if string(sum.Sum(nil)) != string(want) {
		return fmt.Errorf("%w: %s has another checksum than was written at its end: take it again, or use another one", ErrDamagedBackup, path)
	}
	return nil
}

// Restore makes the data of a member in p.Dir from a backup: it is the only member of
// a new cluster, which differs in its identity from the one that was backed up.
// p.Dir must not exist.
func Restore(ctx context.Context, file string, p MemberParams) error {
	if err := CheckBackup(file); err != nil {
		return err
	}
	p, err := p.withDefaults()
	if err != nil {
		return err
	}
	logger := zapLogger(context.WithoutCancel(ctx), p.Logger, newNotes())
	err = etcdutl.NewV3(logger).Restore(etcdutl.RestoreConfig{
		SnapshotPath: file, Name: p.Name, OutputDataDir: p.Dir, PeerURLs: p.Cluster[p.Name],
		InitialCluster: p.initialCluster(), InitialClusterToken: p.Token,
		RevisionBump: restoreBump, MarkCompacted: true,
	})
	if err != nil {
		return fmt.Errorf("restore the metadata store from %s: %w", file, err)
	}
	p.Logger.InfoContext(ctx, "metadata store is restored", slog.String("from", file), slog.String("directory", filepath.Clean(p.Dir)))
	return nil
}
