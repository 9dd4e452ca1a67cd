package config

import (
	"bytes"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/lagan-storage/lagan/core/host/datadir"
)

// start is one start of a node.
type start struct {
	flags      string
	variables  map[string]string
	file       string
	remembered *datadir.Settings
}

// load goes through a start as a command does.
func (s start) load(t *testing.T) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lagan.yaml")
	if err := os.WriteFile(path, []byte(s.file), 0o600); err != nil {
		t.Fatal(err)
	}
	c := New()
	f := pflag.NewFlagSet("up", pflag.ContinueOnError)
	c.Flags(f)
	if err := f.Parse(append(strings.Fields(s.flags), "--config", path)); err != nil {
		return c, err
	}
	if err := c.Load(func(name string) string { return s.variables[name] }); err != nil {
		return c, err
	}
	if s.remembered != nil {
		if err := c.Recall(*s.remembered); err != nil {
			return c, err
		}
	}
	return c, c.Settle(t.Context())
}

func mustLoad(t *testing.T, s start) *Config {
	t.Helper()
	c, err := s.load(t)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNearerSourcesCountMore(t *testing.T) {
	all := start{
		flags:     "--zone flag --disk /flag --plugin-linger 1s",
		variables: map[string]string{"LAGAN_ZONE": "variable", "LAGAN_DISK": "/one,/two:1GiB", "LAGAN_PLUGIN_LINGER": "2s"},
		file:      "zone: file\ndisk:\n- /three\n- /four\nplugin-linger: 3s\n",
		remembered: &datadir.Settings{Name: "a", Cluster: "lagan", Given: map[string][]string{
			"zone": {"remembered"}, "disk": {"/five"}, "plugin-linger": {"4s"}, "listen": {"10.9.9.9:1"},
		}},
	}
	for _, x := range []struct {
		zone   string
		disks  []datadir.Disk
		linger time.Duration
		drop   func()
	}{
		{"flag", []datadir.Disk{{Path: "/flag"}}, time.Second, func() { all.flags = "" }},
		{"variable", []datadir.Disk{{Path: "/one"}, {Path: "/two", Size: 1 << 30}}, 2 * time.Second, func() { all.variables = nil }},
		{"file", []datadir.Disk{{Path: "/three"}, {Path: "/four"}}, 3 * time.Second, func() { all.file = "" }},
		{"remembered", []datadir.Disk{{Path: "/five"}}, 4 * time.Second, func() { all.remembered = nil }},
		{"", nil, 10 * time.Second, func() {}},
	} {
		c := mustLoad(t, all)
		if c.Node.Zone != x.zone || !slices.Equal(c.Node.Disks, x.disks) || c.Node.Plugin.Linger != x.linger {
			t.Errorf("got zone %q, disks %v, linger %v; want %+v", c.Node.Zone, c.Node.Disks, c.Node.Plugin.Linger, x)
		}
		x.drop()
	}
	var log bytes.Buffer
	all.file, all.flags = "zone: east\n", "--no-disk --debug --token secret"
	c := mustLoad(t, all)
	c.Tell(c.Logger(&log))
	for _, want := range []string{"lagan.yaml line 1: zone", `name=no-disk value=true from=--no-disk`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "plugin-linger") || strings.Contains(log.String(), "secret") {
		t.Errorf("the log has a default or a secret:\n%s", log.String())
	}
}

func TestNonsenseIsRefusedByWhereItStands(t *testing.T) {
	for _, x := range []struct {
		start start
		want  []string
	}{
		{start{file: "zone: a\nplugin-soket: none\n"}, []string{"lagan.yaml line 2", `"plugin-soket"`, "did you mean plugin-socket?"}},
		{start{file: "plugin_socket: none\n"}, []string{"did you mean plugin-socket?"}},
		{start{file: "replicas: 2\n"}, []string{"lagan up --help"}},
		{start{file: "config: /x\n"}, []string{"line 1", `"config"`}},
		{start{file: "plugin-linger: long\n"}, []string{"lagan.yaml line 1: plugin-linger", `"long"`, "10s"}},
		{start{file: "disk: [/a, '/b:large']\n"}, []string{"line 1: disk", `"/b:large"`}},
		{start{file: "zone: [a]\n"}, []string{"line 1: zone", "not a list"}},
		{start{file: "zone:\n"}, []string{"line 1: zone", "want a value"}},
		{start{file: "disk: {path: /a}\n"}, []string{"line 1: disk", "list of values"}},
		{start{file: "zone: a\nzone: b\n"}, []string{"zone"}},
		{start{file: "- a\n"}, []string{"line 1", "zone: east"}},
		{start{file: "zone: 'a\n"}, []string{"lagan.yaml", "no YAML"}},
		{start{variables: map[string]string{"LAGAN_LISTEN": "10.0.0.1"}}, []string{`LAGAN_LISTEN is "10.0.0.1"`, "HOST:PORT"}},
		{start{variables: map[string]string{"LAGAN_NO_DISK": "maybe"}}, []string{"LAGAN_NO_DISK", "true or false"}},
		{start{flags: "--label ssd"}, []string{"--label", "KEY=VALUE"}},
		{start{flags: "--promise-max 99"}, []string{"--promise-max", "100 to 1000"}},
		{start{flags: "--promise-max 1001"}, []string{"--promise-max", "100 to 1000"}},
		{start{flags: "--promise-max 2x"}, []string{"--promise-max", "percent"}},
		{start{flags: "--zone a+b"}, []string{"--zone", "a word"}},
		{start{flags: "--etcd-endpoints 10.0.0.1:2379"}, []string{"--etcd-endpoints", "https://"}},
		{start{flags: "--plugin-name a/b"}, []string{"--plugin-name"}},
		{start{flags: "--name b", remembered: &datadir.Settings{Name: "a", Cluster: "x"}}, []string{"--name", `"b"`, `"a"`, "--data"}},
		{start{file: "cluster: y", remembered: &datadir.Settings{Name: "a", Cluster: "x"}}, []string{"line 1: cluster", `"x"`}},
		{start{flags: "--no-disk", remembered: &datadir.Settings{Name: "a", Given: map[string][]string{"disk": {"/d"}}}}, []string{"--no-disk", "has disks"}},
		{start{remembered: &datadir.Settings{Name: "a", Given: map[string][]string{"disk": {"/d:much"}}}}, []string{"node.json", "--disk"}},
	} {
		_, err := x.start.load(t)
		if err == nil {
			t.Errorf("%+v was taken", x.start)
			continue
		}
		for _, want := range x.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %q does not say %q", x.start, err, want)
			}
		}
	}
	c := New()
	f := pflag.NewFlagSet("up", pflag.ContinueOnError)
	c.Flags(f)
	if err := f.Parse([]string{"--config", filepath.Join(t.TempDir(), "none.yaml")}); err != nil {
		t.Fatal(err)
	}
	if err := c.Load(func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a file that was asked for and is missing: %v", err)
	}
}

func TestNodeRemembersWhatWasGivenByHand(t *testing.T) {
	first := mustLoad(t, start{
		flags:     "--name a --disk /d:1GiB --plugin-socket none --data /x --debug --token t --join h:1",
		variables: map[string]string{"LAGAN_LABEL": "disk=ssd,rack=7"},
		file:      "zone: east\n",
	})
	given := first.Node.Given
	want := map[string][]string{
		"disk": {"/d:1GiB"}, "plugin-socket": {"none"}, "label": {"disk=ssd", "rack=7"}, "listen": {first.Node.Listen},
	}
	if !maps.EqualFunc(given, want, slices.Equal[[]string]) {
		t.Errorf("remembered %v, want %v", given, want)
	}
	settings := first.Node.Settings()
	second := mustLoad(t, start{remembered: &settings})
	if !maps.EqualFunc(second.Node.Given, want, slices.Equal[[]string]) || second.Node.Name != "a" || second.Node.Labels["rack"] != "7" {
		t.Errorf("after a start without flags it is %+v", second.Node)
	}
	// The file takes a setting over: once it is silent, the default counts again.
	third := mustLoad(t, start{file: "plugin-socket: /p.sock\n", remembered: &settings})
	if _, kept := third.Node.Given["plugin-socket"]; kept || third.Node.Plugin.Socket != "/p.sock" {
		t.Errorf("the file says %q, remembered is %v", third.Node.Plugin.Socket, third.Node.Given)
	}
	// A node without disks may get one.
	none := mustLoad(t, start{flags: "--name a --no-disk"}).Node.Settings()
	fourth := mustLoad(t, start{flags: "--disk /e", remembered: &none})
	if _, kept := fourth.Node.Given["no-disk"]; kept || fourth.Node.NoDisk || len(fourth.Node.Disks) != 1 {
		t.Errorf("its first disk: %+v", fourth.Node)
	}
}

func TestCommandsFindTheSocketOfTheMachine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lagan.yaml")
	if err := os.WriteFile(path, []byte("run: /run/other\nzone: [broken]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, variables := range map[string]map[string]string{
		"/run/lagan/lagan.sock": {"LAGAN_CONFIG": path}, // a file that lagan up refuses says nothing
		"/r/lagan.sock":         {"LAGAN_RUN": "/r"},
	} {
		if got := Socket(func(name string) string { return variables[name] }); got != want {
			t.Errorf("with %v the socket is %s, want %s", variables, got, want)
		}
	}
	if err := os.WriteFile(path, []byte("run: /run/other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Socket(func(name string) string { return map[string]string{"LAGAN_CONFIG": path}[name] }); got != "/run/other/lagan.sock" {
		t.Errorf("with run in the file the socket is %s", got)
	}
}

func TestLogIsAsAskedFor(t *testing.T) {
	var log bytes.Buffer
	c := New()
	c.LogJSON = true
	c.Logger(&log).Info("a word", slog.Int("n", 1))
	c.Logger(&log).Debug("unheard")
	if !strings.HasPrefix(log.String(), "{") || strings.Contains(log.String(), "unheard") {
		t.Errorf("logged %s", log.String())
	}
}
