package command

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/transport/identity"
)

// run runs a command that finds no daemon.
func run(t *testing.T, arguments ...string) (code int, out, complaint string) {
	t.Helper()
	var o, e bytes.Buffer
	arguments = append([]string{"--socket", filepath.Join(t.TempDir(), "none")}, arguments...)
	code = Run(t.Context(), arguments, Streams{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

func TestExitCodesTellNonsenseFromFailure(t *testing.T) {
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"volume ls", exitNotDone, "lagan up"},
		{"volume inspect", exitUsage, "inspect NAME"},
		{"volume ls extra", exitUsage, "volume ls"},
		{"volume create db --sise 1GiB", exitUsage, "--help"},
		{"volume read db --length long", exitUsage, "long"},
		{"-o xml volume ls", exitUsage, "table or json"},
		{"up --disk /d:large", exitUsage, "large"},
		{"up --peers a", exitUsage, "NAME=https"},
		{"up --name a --no-disk", exitNotDone, "--peers"},
		{"up --name a --no-disk --peers a=https://127.0.0.1:1 --tls-dir /nowhere", exitNotDone, "lagan ca issue"},
	} {
		code, _, complaint := run(t, strings.Fields(c.line)...)
		if code != c.code || !strings.Contains(complaint, c.want) {
			t.Errorf("lagan %s: exit %d, %q; want %d and %q", c.line, code, complaint, c.code, c.want)
		}
	}
	if code, out, _ := run(t, "version"); code != exitDone || !strings.HasPrefix(out, "lagan ") {
		t.Errorf("version: exit %d, %q", code, out)
	}
}

func TestCertificatesAreIssuedAndNeverOverwritten(t *testing.T) {
	dir := t.TempDir()
	authority, node := filepath.Join(dir, "ca"), filepath.Join(dir, "node")
	for i, line := range [][]string{
		{"ca", "init", authority},
		{"ca", "issue", "--ca", authority, "--out", node, "--host", "10.0.0.1"},
		{"ca", "init", authority},
		{"ca", "issue", "--ca", authority, "--out", node},
	} {
		code, _, complaint := run(t, line...)
		if first := i < 2; (code == exitDone) != first {
			t.Errorf("lagan %v: exit %d, %q", line, code, complaint)
		}
	}
	if id, err := identity.Load(node); err != nil || id.Node.String() == "" {
		t.Errorf("load the certificate: %v, %v", id, err)
	}
}
