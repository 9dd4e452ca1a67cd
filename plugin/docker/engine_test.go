package docker

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
)

func TestEngineIsMadeToLookForPluginsOnce(t *testing.T) {
	dir, err := os.MkdirTemp("", "lagan-") //nolint:usetesting // the path of a socket has 107 bytes at most, and t.TempDir repeats the test's name
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	socket := filepath.Join(dir, "engine")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, touchesMax)
	engine := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.Path
		if len(asked) == 1 {
			w.WriteHeader(http.StatusInternalServerError) // it is starting still
		}
	})}
	served := make(chan struct{})
	go func() { _ = engine.Serve(listener); close(served) }()
	ticks := make(chan func(), 1)
	p := New(Params{
		Volumes: &cluster{volumes: map[string]volume.Report{}}, Catalogue: filepath.Join(dir, "volumes.json"), Engine: socket,
		AfterFunc: func(_ time.Duration, f func()) func() bool { ticks <- f; return func() bool { return true } },
		Log:       slog.New(slog.DiscardHandler), Now: time.Now,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { p.Run(ctx); close(ended) }()
	for range 4 {
		(<-ticks)()
	}
	<-ticks
	cancel()
	<-ended
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
	<-served
	if len(asked) != 2 || <-asked != "GET /volumes" {
		t.Errorf("the engine was asked %d times more", len(asked))
	}
}

func TestMountOfAContainerIsSeen(t *testing.T) {
	const own = "30 1 0:25 / / rw - ext4 /dev/root rw\n40 30 7:3 / /lagan/my\\040mounts/db rw shared:1 - ext4 /dev/loop3 rw\n"
	for _, c := range []struct {
		name, target, other string
		want                bool
	}{
		{"container", "/lagan/my mounts/db", "50 1 7:3 /data /data rw - ext4 /dev/loop3 rw\n", true},
		{"nobody", "/lagan/my mounts/db", "50 1 7:4 / /data rw - ext4 /dev/loop4 rw\n", false},
		{"copy of the table", "/lagan/my mounts/db", own, false},
		{"not mounted", "/lagan/other", "50 1 7:3 /data /data rw - ext4 /dev/loop3 rw\n", false},
		{"torn", "/lagan/my mounts/db", "50 1\n", false},
	} {
		proc := t.TempDir()
		for pid, table := range map[string]string{"self": own, "1": own, "77": c.other} {
			if err := os.Mkdir(filepath.Join(proc, pid), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(proc, pid, "mountinfo"), []byte(table), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if held, err := heldIn(proc, c.target); held != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.name, held, err)
		}
	}
	if _, err := heldIn(filepath.Join(t.TempDir(), "none"), "/x"); err == nil {
		t.Error("without a table nothing is known, and there was no error")
	}
}
