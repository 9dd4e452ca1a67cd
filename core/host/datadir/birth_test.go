package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

func nobody(string) error { return nil }

func prepare(t *testing.T, path string) *Birth {
	t.Helper()
	b, err := Prepare(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBirthIsWholeOrLeavesNothing(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "deep", "data")
	gone := func() bool {
		_, err := os.Stat(filepath.Join(root, "deep"))
		return errors.Is(err, fs.ErrNotExist)
	}
	b := prepare(t, path)
	if _, err := Prepare(path); !errors.Is(err, ErrInUse) {
		t.Errorf("a second birth in the directory: %v, want %v", err, ErrInUse)
	}
	if err := b.Abandon(); err != nil || !gone() {
		t.Errorf("abandoned: %v, gone is %v", err, gone())
	}
	broken := errors.New("no space left")
	err := prepare(t, path).Settle(block.NodeID{1}, Settings{}, Cluster{}, func(dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "node.key"), nil, 0o600), broken)
	})
	if !errors.Is(err, broken) || !gone() {
		t.Errorf("a birth that failed: %v, gone is %v", err, gone())
	}
	given := Settings{Name: "a", Cluster: "lagan", Given: map[string][]string{"listen": {"x:1"}, "disk": {"/d:5MiB", "/e"}}}
	if err := prepare(t, path).Settle(block.NodeID{1}, given, Cluster{Name: "lagan", Endpoints: []string{"u"}}, nobody); err != nil {
		t.Fatal(err)
	}
	s, c, err := Lookup(path)
	if err != nil || s == nil || !s.Equal(given) || c == nil || c.Name != "lagan" {
		t.Errorf("looked up %+v, %+v, %v", s, c, err)
	}
	if _, err := Prepare(path); err == nil || !strings.Contains(err.Error(), "node a of cluster lagan") {
		t.Errorf("a birth where a node lives: %v", err)
	}
	d := open(t, path)
	if d.Node() != (block.NodeID{1}) || d.Cluster() == nil {
		t.Errorf("opened node %v of %+v", d.Node(), d.Cluster())
	}
	moved := Settings{Name: "a", Cluster: "lagan", Given: map[string][]string{"listen": {"y:2"}}}
	if err := errors.Join(d.SetEndpoints([]string{"v", "w"}), d.SetSettings(moved)); err != nil {
		t.Fatal(err)
	}
	if d = reopen(t, d); len(d.Cluster().Endpoints) != 2 || !d.Settings().Equal(moved) || moved.Equal(given) {
		t.Errorf("after a restart: %+v, %+v", d.Cluster(), d.Settings())
	}
}

func TestBirthSparesWhatIsThere(t *testing.T) {
	for _, name := range []string{nodeFile, TLSDir, "etcd"} {
		path := t.TempDir()
		if err := os.Mkdir(filepath.Join(path, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := Prepare(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("with %s there: %v", name, err)
		}
		if left, err := os.ReadDir(path); err != nil || len(left) != 1 {
			t.Errorf("left %v, %v", left, err)
		}
	}
}
