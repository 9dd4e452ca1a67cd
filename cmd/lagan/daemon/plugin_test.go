package daemon

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/host/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
)

// socketDir returns a directory with a short name: the path of a socket has 107
// bytes at most, and t.TempDir repeats the test's name.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lagan-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestOnlyAPluginSocketThatNobodyServesIsReplaced(t *testing.T) {
	path := filepath.Join(socketDir(t), "plugins", "lagan.sock")
	first, err := listenPlugin(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenPlugin(t.Context(), path); err == nil || !strings.Contains(err.Error(), "--plugin-socket") {
		t.Errorf("a socket that is served: %v, want it refused", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as if it had been killed
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := listenPlugin(t.Context(), path)
	if err != nil {
		t.Fatalf("a socket that a killed daemon left: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

// shared is a log that the start of an etcd may outlive.
type shared struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestNodeThatDoesNotComeUpLeavesNoPluginSocket(t *testing.T) {
	dir := socketDir(t)
	socket := filepath.Join(dir, "plugin.sock")
	var log shared
	c := Config{
		Name: "a", Cluster: "lagan", Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run"), Listen: "127.0.0.1:0",
		Disks:  []datadir.Disk{{Path: filepath.Join(dir, "none", "disk"), Size: -1}},
		Plugin: Plugin{Socket: socket, Engine: PluginOff},
	}
	if err := cluster.Found(c.Data, c.Settings(), nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), c, slog.New(slog.NewTextHandler(&log, nil)))
	if err == nil || !strings.Contains(log.String(), "volume plugin answers") {
		t.Fatalf("the start ended with %v and said %s", err, log.String())
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}
