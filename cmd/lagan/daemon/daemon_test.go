package daemon

import (
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/lagan-storage/lagan/core/host/datadir"
)

func TestGraphIsWhole(t *testing.T) {
	if err := fx.ValidateApp(options(t.Context(), Config{}, make(breakdown, 1), slog.New(slog.DiscardHandler))); err != nil {
		t.Error(err)
	}
}

func TestSettingsThatCannotBeRightAreNamed(t *testing.T) {
	right := func() Config {
		return Config{
			Name: "a", Listen: "10.0.0.1:7300", Disks: []datadir.Disk{{Path: "/d"}},
			Peers: map[string][]string{"a": {"https://10.0.0.1:7302"}},
		}
	}
	if c := right(); c.Check() != nil {
		t.Fatalf("what is right is refused: %v", c.Check())
	}
	for want, spoil := range map[string]func(*Config){
		"--name":       func(c *Config) { c.Name = "" },
		"--no-disk":    func(c *Config) { c.Disks = nil },
		"contradict":   func(c *Config) { c.NoDisk = true },
		"--plain goes": func(c *Config) { c.Peers, c.Plain = nil, true },
		"--peers and":  func(c *Config) { c.Endpoints = []string{"http://x:1"} },
		"add b=":       func(c *Config) { c.Name = "b" },
		"--advertise":  func(c *Config) { c.Listen = "0.0.0.0:7300" },
		"[::]:7300":    func(c *Config) { c.Advertise = "[::]:7300" },
		"missing port": func(c *Config) { c.Advertise = "10.0.0.1" },
	} {
		c := right()
		spoil(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestDisksAndPeersAreReadAsWritten(t *testing.T) {
	for text, want := range map[string]datadir.Disk{
		"/dev/sdb":     {Path: "/dev/sdb"},
		"/pool:10GiB":  {Path: "/pool", Size: 10 << 30},
		"/a:b/pool:1M": {Path: "/a:b/pool", Size: 1 << 20},
	} {
		if got, err := ParseDisk(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	if _, err := ParseDisk("/pool:large"); err == nil {
		t.Error("a size that is none was taken")
	}
	peers, err := ParsePeers([]string{"a=https://x:1", "b=https://y:1", "b=https://z:1"})
	if err != nil || len(peers["a"]) != 1 || len(peers["b"]) != 2 {
		t.Errorf("got %v, %v", peers, err)
	}
	for _, text := range []string{"a", "=https://x:1", "a=x:1"} {
		if _, err := ParsePeers([]string{text}); err == nil {
			t.Errorf("peer %q was taken", text)
		}
	}
}
