//go:build mutants

package sim

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/lagan-storage/lagan/linearizability"
)

// mutants are the known bugs that can be planted: build tags of files
// mutant_*_on.go in core.
var mutants = []struct{ tag, bug string }{
	{"mutant_ack_early", "a write is acknowledged before all members in sync have accepted it"},
	{"mutant_no_fence", "a replica takes frames of a coordinator that was replaced"},
	{"mutant_stale_grant", "a read is answered after a grant ran out"},
	{"mutant_flush_local", "a flush is acknowledged when one member is durable"},
	{"mutant_torn_tail", "a torn end of the journal is taken for whole"},
}

// mutantSeeds is within how many seeds each must be caught.
const mutantSeeds = 2000

// TestMutants plants each bug and has the unchanged swarm, from seed 1 on, find
// it. The seeds that do must be clean without the bug.
func TestMutants(t *testing.T) {
	caught := regexp.MustCompile(`-run TestSeed -seed=0x([0-9a-f]+)`)
	most := uint64(0)
	for _, m := range mutants {
		binary := filepath.Join(t.TempDir(), m.tag)
		if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags="+m.tag, "-o", binary, ".").CombinedOutput(); err != nil {
			t.Fatalf("building with %s: %v\n%s", m.tag, err, out)
		}
		run := exec.CommandContext(t.Context(), binary, "-test.run=^TestSwarm$", "-test.timeout=0", "-first=1", "-seeds="+strconv.Itoa(mutantSeeds), "-most=1")
		out, err := run.CombinedOutput()
		found := caught.FindSubmatch(out)
		if err == nil || found == nil {
			t.Errorf("%s: not caught in %d seeds: %s", m.tag, mutantSeeds, m.bug)
			continue
		}
		seed, err := strconv.ParseUint(string(found[1]), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-20s caught by seed %4d: %s", m.tag, seed, m.bug)
		most = max(most, seed)
		if r := Run(NewPlan(seed, Swarm), Options{Checker: &linearizability.Checker{}}); r.Violation != nil {
			t.Errorf("%s: seed %d is not clean without the bug: %v", m.tag, seed, r.Violation)
		}
	}
	b := runBatch(1, int(most), Swarm, 1)
	b.fail(t)
	if len(b.failed) == 0 {
		t.Logf("seeds 1 to %d are clean without them", most)
	}
}
