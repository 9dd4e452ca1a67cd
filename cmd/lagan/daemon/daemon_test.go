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
			API: "10.0.0.1:7301", EtcdPeer: "10.0.0.1:7302", EtcdClient: "10.0.0.1:7303",
		}
	}
	if c := right(); c.Check() != nil {
		t.Fatalf("what is right is refused: %v", c.Check())
	}
	for want, spoil := range map[string]func(*Config){
		"--name":       func(c *Config) { c.Name = "" },
		"--no-disk":    func(c *Config) { c.Disks = nil },
		"contradict":   func(c *Config) { c.NoDisk = true },
		"--etcd-key":   func(c *Config) { c.Etcd.Cert = "/c" },
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

func TestDisksAreReadAsWritten(t *testing.T) {
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
}

func TestPortsAreOnTheHostOfTheDataPort(t *testing.T) {
	c := Config{Listen: "0.0.0.0:7300", Advertise: "10.0.0.1:7300", EtcdPeer: "10.0.0.9:1"}
	if err := c.Complete(); err != nil || c.API != "0.0.0.0:7301" || c.EtcdClient != "0.0.0.0:7303" {
		t.Fatalf("%+v, %v", c, err)
	}
	if a := c.Addresses(); a.API != "10.0.0.1:7301" || a.EtcdPeer != "10.0.0.9:1" || a.EtcdClient != "10.0.0.1:7303" {
		t.Errorf("others are told %+v", a)
	}
}
