//go:build mutants

package sim

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCorpusFailsWithItsBugs plants the bug that a script names: with it, it must
// break what it says. One that does not shows nothing any more, because core
// goes another way by now: find and shrink a seed anew.
func TestCorpusFailsWithItsBugs(t *testing.T) {
	paths := map[string][]string{} // by bug
	for _, path := range corpus(t) {
		if bug := readScript(t, path).Bug; bug != "" {
			paths[bug] = append(paths[bug], path)
		}
	}
	for _, bug := range sortedKeys(paths) {
		binary := filepath.Join(t.TempDir(), bug)
		if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags="+bug, "-o", binary, ".").CombinedOutput(); err != nil {
			t.Fatalf("building with %s: %v\n%s", bug, err, out)
		}
		for _, path := range paths[bug] {
			out, err := exec.CommandContext(t.Context(), binary, "-test.run=^TestScript$", "-script="+path).CombinedOutput()
			if want := readScript(t, path).Fails + ": "; err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%s with %s: %v, and it should fail with %q:\n%s", path, bug, err, want, out)
			}
		}
	}
}
