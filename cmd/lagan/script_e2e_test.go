package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/cmd/lagan/command"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/rest/client"
)

// update has the scripts take what the commands print for what they should.
var update = flag.Bool("update", false, "rewrite the transcripts in testdata/script")

// scriptDir names the directory that a script's commands leave out.
const scriptDir = "LAGAN_TEST_DIR"

// transcribed is lagan as scripts run it: what is another at every run it prints
// as if it were always the same.
func transcribed() {
	var out, complaint bytes.Buffer
	code := command.Run(context.Background(), os.Args[1:], command.Streams{In: os.Stdin, Out: &out, Err: &complaint})
	for _, s := range []struct {
		to   io.Writer
		text string
	}{{os.Stdout, out.String()}, {os.Stderr, complaint.String()}} {
		_, _ = io.WriteString(s.to, settled(s.text)) // the script sees what came
	}
	os.Exit(code)
}

func settled(text string) string {
	for _, s := range []struct{ pattern, always string }{
		{`[0-9a-f]{8}\.[0-9a-f]{32}\.[0-9a-f]{64}`, "TOKEN"},
		{`(?m)^[0-9a-f]{8}\b`, "01234567"},       // of a token
		{`\b[0-9a-f]{16}\b`, "0011223344556677"}, // of a snapshot
		{`\b[0-9a-f]{32}\b`, "00112233445566778899aabbccddeeff"},
		{`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`, "2006-01-02T15:04:05Z"},
		{`127(\.\d+){3}:\d{5}\b`, "127.0.0.1:77777"},
		{`\bgo1\.[0-9.]+`, "go1"},
		{`lagan \S+, commit .*?, go`, "lagan (devel), commit -, go"},
		{`\b(linux|darwin)/\w+`, "linux/amd64"},
		{`(?i)("?(?:revision|epoch)"?: *)\d+`, "${1}7"},
	} {
		text = regexp.MustCompile(s.pattern).ReplaceAllString(text, s.always)
	}
	if dir := os.Getenv(scriptDir); dir != "" && strings.Contains(text, dir) {
		text = strings.ReplaceAll(text, dir, "DIR")
		text = regexp.MustCompile(` {2,}`).ReplaceAllString(text, "  ") // columns depend on how long it is
	}
	return text
}

// TestUsageScripts runs testdata/usage: what commands say that find no node.
func TestUsageScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "usage"), UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("LAGAN_SOCKET", "no.sock")
			e.Setenv(scriptDir, e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// TestE2EScripts runs testdata/script: commands and what they print. A file nodes
// in a script has a line for each node of the cluster that it speaks to: its
// name, and arguments more than those that every node has.
func TestE2EScripts(t *testing.T) {
	t.Parallel()
	program := program(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"), UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error { return setup(e, program) },
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "takes": takes, "votes": votes},
	})
}

// setup starts the nodes of a script.
func setup(e *testscript.Env, program string) error {
	list, err := os.ReadFile(filepath.Join(e.WorkDir, "nodes"))
	dir, tempErr := os.MkdirTemp("", "lagan-e2e-")
	if err := errors.Join(err, tempErr); err != nil {
		return err
	}
	var names []string
	extra := map[string][]string{}
	for line := range strings.Lines(string(list)) {
		words := strings.Fields(line)
		names, extra[words[0]] = append(names, words[0]), words[1:]
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := cluster.New(ctx, cluster.Params{
		Binary: program, Dir: dir, Nodes: names, Disk: "256MiB", Pause: pause, Env: []string{asLagan + "=1"},
	})
	if err != nil {
		return err
	}
	e.Defer(func() {
		if err := c.Close(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	for _, name := range names {
		n := c.Node(name)
		if strings.Contains(strings.Join(extra[name], " "), "--no-disk") {
			n.SetDisks()
			extra[name] = nil
		}
		n.SetArguments(extra[name]...)
		if err := errors.Join(n.Start(ctx), n.AwaitReady(ctx)); err != nil {
			return err
		}
		n.SetArguments()
	}
	e.Values[clusterOf{}] = c
	e.Setenv("LAGAN_SOCKET", c.Node(names[0]).Socket)
	e.Setenv(scriptDir, dir)
	return c.Until(ctx, "all nodes are known", func() (bool, error) {
		all, err := c.Node(names[0]).Client().Nodes(ctx)
		return len(all) == len(names), err
	})
}

// clusterOf is the key of a script's cluster.
type clusterOf struct{}

// takes waits until a node shows that a volume has a size on its disk, and all its
// snapshots are counted: takes NODE VOLUME 64KiB
func takes(ts *testscript.TestScript, not bool, arguments []string) {
	if not || len(arguments) != 3 {
		ts.Fatalf("usage: takes NODE VOLUME SIZE")
	}
	want, err := volume.ParseSize(arguments[2])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := ts.Value(clusterOf{}).(*cluster.Cluster)
	node := c.Node(arguments[0]).Client()
	ts.Check(c.Until(ctx, "volume "+arguments[1]+" takes "+arguments[2], func() (bool, error) {
		v, err := node.Volume(ctx, arguments[1])
		all, listErr := node.Snapshots(ctx, arguments[1])
		counted := !slices.ContainsFunc(all, func(s api.Snapshot) bool { return s.Usage == nil })
		return v.Status.Usage != nil && v.Status.Usage.Used == want && counted, errors.Join(err, listErr)
	}))
}

// votes waits until so many nodes vote in the metadata store: votes 3
func votes(ts *testscript.TestScript, not bool, arguments []string) {
	if not || len(arguments) != 1 {
		ts.Fatalf("usage: votes NUMBER")
	}
	want, err := strconv.Atoi(arguments[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := ts.Value(clusterOf{}).(*cluster.Cluster)
	ts.Check(c.Until(ctx, arguments[0]+" nodes vote", func() (bool, error) {
		all, err := client.OverSocket(ts.Getenv("LAGAN_SOCKET")).Nodes(ctx)
		all = slices.DeleteFunc(all, func(n api.Node) bool { return !n.Votes })
		return len(all) == want, err
	}))
}

// exits runs a program that is to end with a code: exits 2 lagan volume
func exits(ts *testscript.TestScript, not bool, arguments []string) {
	if not || len(arguments) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM...")
	}
	want, err := strconv.Atoi(arguments[0])
	ts.Check(err)
	var exit *exec.ExitError
	switch err := ts.Exec(arguments[1], arguments[2:]...); {
	case err == nil && want != 0:
		ts.Fatalf("it did not fail, want exit code %d", want)
	case errors.As(err, &exit) && exit.ExitCode() != want, err != nil && exit == nil:
		ts.Fatalf("it ended with %v, want exit code %d", err, want)
	}
}
