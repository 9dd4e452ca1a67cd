package demo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/lagan-storage/lagan/bench/cluster"
)

const (
	// copiers is how many files are written at a time: each waits for its fsync.
	copiers = 8
	// appendBytes is the size of the files that are written until the kill.
	appendBytes = 256 << 10
)

// files writes files on the volume's file system. Checksums of what was synced
// are kept here, outside the volume.
type files struct {
	d    *demo
	dir  string // where the volume is mounted
	node *cluster.Node

	mu     sync.Mutex // guards what follows
	synced map[string][sha256.Size]byte
	bytes  int64
}

// Create makes the volume.
func (f *files) Create(ctx context.Context, n *cluster.Node) error { return f.d.create(ctx, n) }

// Open mounts the volume.
func (f *files) Open(ctx context.Context, n *cluster.Node, force bool) error {
	f.node = n
	f.dir = filepath.Join(f.d.p.Dir, n.Name, "mnt")
	arguments := []string{"volume", "mount", volumeName, f.dir}
	if force {
		arguments = append(arguments, "--force")
	}
	_, err := n.Lagan(ctx, nil, arguments...)
	return err
}

// Close unmounts it.
func (f *files) Close(ctx context.Context) error {
	_, err := f.node.Lagan(ctx, nil, "volume", "unmount", volumeName)
	return err
}

// Remove deletes the volume.
func (f *files) Remove(ctx context.Context) error {
	_, err := f.node.Lagan(ctx, nil, "volume", "rm", volumeName)
	return err
}

// Fill unpacks the tree, each file with an fsync.
func (f *files) Fill(ctx context.Context) (string, error) {
	f.synced = map[string][sha256.Size]byte{}
	began := f.d.p.Now()
	names, err := f.directories()
	if err != nil {
		return "", err
	}
	work := make(chan string)
	errs := make(chan error, copiers)
	var copying sync.WaitGroup
	for range copiers {
		copying.Go(func() {
			for name := range work {
				if err := f.copyFile(name); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	for _, name := range names {
		select {
		case work <- name:
			continue
		case err = <-errs:
		case <-ctx.Done():
			err = ctx.Err()
		}
		break
	}
	close(work)
	copying.Wait()
	close(errs)
	for workerErr := range errs {
		err = errors.Join(err, workerErr)
	}
	took := f.d.p.Now().Sub(began)
	return fmt.Sprintf("unpacked %d files, %d MiB, each with fsync, in %.1f s", len(f.synced), f.bytes>>20, took.Seconds()), err
}

// directories makes the tree's directories and returns the names of its files.
func (f *files) directories() (names []string, err error) {
	err = filepath.WalkDir(f.d.p.Tree, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(f.d.p.Tree, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			return os.MkdirAll(filepath.Join(f.dir, "tree", name), 0o755)
		case e.Type().IsRegular():
			names = append(names, name)
		}
		return nil
	})
	if err == nil {
		err = syncPath(filepath.Join(f.dir, "tree"))
	}
	return names, err
}

// copyFile writes one file and its directory durably, and notes its checksum.
func (f *files) copyFile(name string) error {
	data, err := os.ReadFile(filepath.Join(f.d.p.Tree, name))
	if err != nil {
		return err
	}
	return f.write(filepath.Join("tree", name), data)
}

func (f *files) write(name string, data []byte) error {
	path := filepath.Join(f.dir, name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := syncPath(filepath.Dir(path)); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.synced[name] = sha256.Sum256(data)
	f.bytes += int64(len(data))
	return nil
}

func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// Append writes one file more.
func (f *files) Append(_ context.Context, number int) error {
	return f.write(fmt.Sprintf("more-%06d", number), pattern(number, appendBytes))
}

// pattern returns bytes that no other number has.
func pattern(number, length int) []byte {
	data := make([]byte, 0, length+sha256.Size)
	for i := uint32(0); len(data) < length; i++ {
		var seed [8]byte
		binary.LittleEndian.PutUint32(seed[:4], uint32(number))
		binary.LittleEndian.PutUint32(seed[4:], i)
		sum := sha256.Sum256(seed[:])
		data = append(data, sum[:]...)
	}
	return data[:length]
}

// Glance reads one file.
func (f *files) Glance(context.Context) error {
	names := slices.Sorted(maps.Keys(f.synced))
	return f.verify(names[len(names)/2])
}

func (f *files) verify(name string) error {
	file, err := os.Open(filepath.Join(f.dir, name))
	if err != nil {
		return err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, file)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if want := f.synced[name]; [sha256.Size]byte(hash.Sum(nil)) != want {
		return fmt.Errorf("%s: it was synced, but its content is another now", name)
	}
	return nil
}

// Verify reads every file that was synced.
func (f *files) Verify(ctx context.Context) (string, error) {
	began := f.d.p.Now()
	for _, name := range slices.Sorted(maps.Keys(f.synced)) {
		if err := errors.Join(f.verify(name), ctx.Err()); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("verified all %d files that had been synced, %d MiB, in %.1f s",
		len(f.synced), f.bytes>>20, f.d.p.Now().Sub(began).Seconds()), nil
}
