//go:build mutants

package storetest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMutants plants the known bugs of the store's layers and sees that the
// random scripts notice each.
func TestMutants(t *testing.T) {
	for tag, bug := range map[string]string{ // any order: each is planted alone
		"mutant_merge_shares": "a merge frees a chunk that a snapshot shares",
		"mutant_torn_cut":     "the cut of a snapshot is not atomic",
	} {
		t.Run(tag, func(t *testing.T) {
			binary := filepath.Join(t.TempDir(), tag)
			if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags="+tag, "-o", binary, ".").CombinedOutput(); err != nil {
				t.Fatalf("building it: %v\n%s", err, out)
			}
			out, err := exec.CommandContext(t.Context(), binary, "-test.run=^TestLongRandomTracesSurviveTheirCrashes$", "-test.timeout=0").CombinedOutput()
			if err == nil {
				t.Fatalf("not noticed: %s\n%s", bug, out)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "_test.go:") {
					t.Logf("%s: %.300s", bug, strings.TrimSpace(line))
					break
				}
			}
		})
	}
}
