package require

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// witness is a test that notes how it was ended instead of ending.
type witness struct {
	testing.TB
	skipped, failed string
}

func (*witness) Helper() {}

func (w *witness) Skipf(format string, values ...any) { w.skipped = fmt.Sprintf(format, values...) }

func (w *witness) Fatalf(format string, values ...any) { w.failed = fmt.Sprintf(format, values...) }

func TestMissingProgramSkipsWithAReason(t *testing.T) {
	t.Setenv(Variable, "root,fuse")
	w := &witness{TB: t}
	Program(w, "lagan-no-such-program", "some-package")
	if w.failed != "" || !strings.Contains(w.skipped, "install the package some-package") {
		t.Errorf("skipped %q, failed %q", w.skipped, w.failed)
	}
}

func TestMissingProgramFailsWhereItIsRequired(t *testing.T) {
	t.Setenv(Variable, "root,lagan-no-such-program")
	w := &witness{TB: t}
	Program(w, "lagan-no-such-program", "some-package")
	if w.skipped != "" || !strings.Contains(w.failed, "lagan-no-such-program required") {
		t.Errorf("skipped %q, failed %q", w.skipped, w.failed)
	}
}

func TestProgramThatIsThereLetsTheTestRun(t *testing.T) {
	t.Setenv(Variable, "go")
	w := &witness{TB: t}
	Program(w, "go", "golang-go")
	if w.skipped != "" || w.failed != "" {
		t.Errorf("skipped %q, failed %q", w.skipped, w.failed)
	}
}

func TestRootNeedsTheRightToMount(t *testing.T) {
	for _, c := range []struct {
		name   string
		user   int
		status string
		want   string
	}{
		{"full root", 0, "Name:\tx\nCapEff:\t000001ffffffffff\n", ""},
		{"root in a container", 0, "CapEff:\t00000000a80425fb\n", "CAP_SYS_ADMIN"},
		{"somebody", 1000, "CapEff:\t0000000000000000\n", "user 1000"},
		{"no capabilities named", 0, "Name:\tx\n", "no effective capabilities"},
		{"unreadable", 0, "CapEff:\tmany\n", "invalid syntax"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "status")
			if err := os.WriteFile(file, []byte(c.status), 0o600); err != nil {
				t.Fatal(err)
			}
			got := rootMissing(c.user, file)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("missing %q, want %q", got, c.want)
			}
		})
	}
}

func TestAbsentDeviceIsNamed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fuse")
	if missing := deviceMissing(name); !strings.Contains(missing, name) {
		t.Errorf("missing %q does not name %s", missing, name)
	}
}

func TestWhatDoesNotWorkIsMissing(t *testing.T) {
	t.Setenv(Variable, "root")
	w := &witness{TB: t}
	Works(w, "docker", nil)
	if w.skipped != "" || w.failed != "" {
		t.Errorf("what works: skipped %q, failed %q", w.skipped, w.failed)
	}
	Works(w, "docker", errors.New("no control groups"))
	if w.failed != "" || !strings.Contains(w.skipped, "no control groups") {
		t.Errorf("skipped %q, failed %q", w.skipped, w.failed)
	}
	t.Setenv(Variable, "docker")
	w = &witness{TB: t}
	Works(w, "docker", errors.New("no control groups"))
	if w.skipped != "" || !strings.Contains(w.failed, "no control groups") {
		t.Errorf("where it is required: skipped %q, failed %q", w.skipped, w.failed)
	}
}
