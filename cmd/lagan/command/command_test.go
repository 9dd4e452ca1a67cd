package command

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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
	dir := t.TempDir()
	data, token := filepath.Join(dir, "data"), identity.NewToken(identity.Hash{}).String()
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
		{"up --name a --data " + data, exitNotDone, "--no-disk"},
		{"up --name a/b --no-disk --data " + data, exitNotDone, "a/b"},
		{"up --name a --no-disk --token x --data " + data, exitUsage, "--join"},
		{"up --name a --no-disk --etcd-endpoints 127.0.0.1:1 --data " + data, exitUsage, "https://"},
		{"up --name a --no-disk --etcd-cert /c --data " + data, exitNotDone, "--etcd-key"},
		{"join 127.0.0.1:1 --no-disk --data " + data, exitUsage, "lagan token create"},
		{"join 127.0.0.1:1 --no-disk --token a.b --data " + data, exitUsage, "id.secret.hash"},
		{"join 127.0.0.1:1 --name n --no-disk --listen 127.0.0.1:2 --data " + data + " --token " + token, exitNotDone, "HOST:7301"},
		{"token create --ttl 1ms", exitUsage, "--ttl"},
		{"down", exitNotDone, "no daemon answers"},
	} {
		code, _, complaint := run(t, strings.Fields(c.line)...)
		if code != c.code || !strings.Contains(complaint, c.want) {
			t.Errorf("lagan %s: exit %d, %q; want %d and %q", c.line, code, complaint, c.code, c.want)
		}
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("commands that were refused left a data directory: %v", err)
	}
	if code, out, _ := run(t, "version"); code != exitDone || !strings.HasPrefix(out, "lagan ") || !strings.Contains(out, runtime.Version()) {
		t.Errorf("version: exit %d, %q", code, out)
	}
}
