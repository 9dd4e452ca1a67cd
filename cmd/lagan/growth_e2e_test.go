package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
)

// scribe writes files into a folder until it is told to end, or cannot.
type scribe struct {
	folder string
	sums   map[string][32]byte // of the files that are durable
	wrote  atomic.Bool         // one is
	ends   atomic.Bool
	ended  chan struct{}
}

func newScribe(folder string) *scribe {
	s := &scribe{folder: folder, sums: map[string][32]byte{}, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		for n := 0; !s.ends.Load(); n++ {
			content := bytes.Repeat([]byte(fmt.Sprintf("%07d\n", n)), 8<<10) // 64 KiB
			name := fmt.Sprint("file", n%256)
			if err := writeDurably(filepath.Join(s.folder, name), string(content)); err != nil {
				return
			}
			s.sums[name] = sha256.Sum256(content)
			s.wrote.Store(true)
		}
	}()
	return s
}

// end ends the writing; last is the only file that may be anything.
func (s *scribe) end() {
	s.ends.Store(true)
	<-s.ended
}

func (s *scribe) check(t *testing.T, unfinished bool) {
	t.Helper()
	wrong := 0
	for name, want := range s.sums { // any order: each is compared alone
		content, err := os.ReadFile(filepath.Join(s.folder, name))
		if err != nil || sha256.Sum256(content) != want {
			wrong++
		}
	}
	if wrong > 1 || wrong == 1 && !unfinished || len(s.sums) == 0 { // one was being written when its node died
		t.Errorf("%d of %d files are not as they were written", wrong, len(s.sums))
	}
}

// roomOf returns how large a mounted file system is, in bytes.
func roomOf(t *testing.T, target string) int64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(target, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Blocks) * s.Bsize
}

// resize has a volume grow, by the command.
func resize(t *testing.T, n *cluster.Node, name, size string) {
	t.Helper()
	if _, err := n.Lagan(t.Context(), nil, "volume", "resize", name, "--size", size); err != nil {
		t.Fatal(err)
	}
}

// becomesLarger waits until a mounted file system has that much room. Where the machine
// cannot have an ext4 grow mounted, that has to be said, and what is said has to work.
func becomesLarger(t *testing.T, c *cluster.Cluster, n *cluster.Node, target string, room int64) {
	t.Helper()
	smaller := ""
	until(t, c, "the file system has grown", func() (bool, error) {
		v, err := n.Client().Volume(t.Context(), "db")
		if err == nil && v.Status.Attachment != nil {
			smaller = v.Status.Attachment.Smaller
		}
		return err == nil && (smaller != "" || roomOf(t, target) >= room), err
	})
	if smaller == "" {
		return
	}
	t.Log(smaller)
	if err := n.Client().Unmount(t.Context(), "db", target); err != nil {
		t.Fatal(err)
	}
	attach(t, n, "db", api.Attach{Mount: target})
	if got := roomOf(t, target); got < room {
		t.Errorf("mounted again it has %d bytes", got)
	}
}

func TestE2EVolumeGrowsUnderItsWriter(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			require.FUSE(t)
			require.Program(t, "mkfs."+kind, kind+"progs")
			c := newCluster(t, "1GiB", "a", "b", "c")
			up(t, c)
			a, b := c.Node("a"), c.Node("b")
			create(t, a, "db", map[string]string{"size": "320MiB", "replicas": "2", "nodes": "b,c", "fs": kind})
			target := filepath.Join(a.Dir(), "mnt")
			attach(t, a, "db", api.Attach{Mount: target})
			before, writer := roomOf(t, target), newScribe(target)
			resize(t, b, "db", "448MiB")
			until(t, c, "its device has grown", func() (bool, error) {
				v, err := a.Client().Volume(t.Context(), "db")
				return err == nil && v.Status.Size == 448*mebi, err
			})
			for _, size := range []string{"320MiB", "2GiB"} {
				if _, err := b.Client().Set(t.Context(), "db", map[string]string{"size": size}); !errors.Is(err, volume.ErrCannotShrink) && !errors.Is(err, volume.ErrNoPlacement) {
					t.Errorf("to %s: %v", size, err)
				}
			}
			writer.end()
			becomesLarger(t, c, a, target, before+100*mebi)
			writer.check(t, false)

			writer = newScribe(target)
			until(t, c, "a file is written", func() (bool, error) { return writer.wrote.Load(), nil })
			resize(t, b, "db", "576MiB")
			if err := a.Kill(t.Context()); err != nil { // in the middle of it, or just before
				t.Fatal(err)
			}
			writer.end()
			start(t, c, "a")
			until(t, c, "it is mounted again", func() (bool, error) {
				_, err := a.Client().Attach(t.Context(), "db", api.Attach{Mount: target})
				return err == nil, err
			})
			becomesLarger(t, c, a, target, before+220*mebi)
			writer.check(t, true)
			fill := filepath.Join(target, "fill")
			content := bytes.Repeat([]byte("grown!!\n"), 300*mebi/8)
			if err := writeDurably(fill, string(content)); err != nil { // more than fitted before
				t.Fatal(err)
			}
			if err := a.Client().Unmount(t.Context(), "db", target); err != nil {
				t.Fatal(err)
			}
			attach(t, b, "db", api.Attach{Mount: filepath.Join(b.Dir(), "mnt")})
			if got, err := os.ReadFile(filepath.Join(b.Dir(), "mnt", "fill")); err != nil || !bytes.Equal(got, content) {
				t.Errorf("on another node it has %d bytes, %v", len(got), err)
			}
		})
	}
}
