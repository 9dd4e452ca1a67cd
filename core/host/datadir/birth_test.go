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
	given := Settings{Name: "a", Cluster: "lagan", Listen: "x:1", Disks: []Disk{{Path: "/d", Size: 5}}}
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
	moved := given
	moved.Listen = "y:2"
	if err := errors.Join(d.SetEndpoints([]string{"v", "w"}), d.SetSettings(moved)); err != nil {
		t.Fatal(err)
	}
	if d = reopen(t, d); len(d.Cluster().Endpoints) != 2 || d.Settings().Listen != "y:2" {
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

func TestFlagsOfALaterStartAreTakenOverOrRefusedByName(t *testing.T) {
	was := Settings{Name: "a", Cluster: "lagan", Listen: "x:1", API: "x:2", EtcdPeer: "z:3", Disks: []Disk{{Path: "/d"}}}
	flags := func(names ...string) func(string) bool {
		return func(flag string) bool { return strings.Contains(" "+strings.Join(names, " ")+" ", " "+flag+" ") }
	}
	given := Settings{Name: "b", Cluster: "other", Listen: "y:1", API: "w:4", NoDisk: true, Disks: []Disk{{Path: "/e"}}}
	got, err := was.Merge(given, flags("listen"))
	if err != nil || got.Listen != "y:1" || got.API != "y:2" || got.EtcdPeer != "z:3" || got.Name != "a" || len(got.Disks) != 1 {
		t.Errorf("--listen: %+v, %v; want what was on its host to move along", got, err)
	}
	if got, err := was.Merge(given, flags("listen", "api")); err != nil || got.API != "w:4" {
		t.Errorf("--listen --api: %+v, %v", got, err)
	}
	if got, err := was.Merge(given, flags()); err != nil || !got.Equal(was) {
		t.Errorf("no flags: %+v, %v", got, err)
	}
	if got, err := was.Merge(given, flags("disk")); err != nil || got.Disks[0].Path != "/e" {
		t.Errorf("--disk: %+v, %v", got, err)
	}
	for _, flag := range []string{"name", "cluster", "no-disk"} {
		if _, err := was.Merge(given, flags(flag)); err == nil || !strings.Contains(err.Error(), "--"+flag) {
			t.Errorf("--%s: %v", flag, err)
		}
	}
}
