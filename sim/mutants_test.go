//go:build mutants

package sim

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/linearizability"
)

const (
	mutantSeeds   = 20_000 // within how many each must be caught
	medianMax     = 200    // within how many half of them
	harmlessSeeds = 300    // how many one that does nothing must survive
)

// TestMutants plants each bug and has the unchanged swarm, from seed 1 on, find
// it. The mutated branch must be reached, and the seeds that find it must be
// clean without the bug.
func TestMutants(t *testing.T) {
	var seeds []int
	for _, m := range mutants {
		if m.waits != "" {
			t.Logf("waits for %s: %s", m.waits, m.bug)
			continue
		}
		t.Run(m.name(), func(t *testing.T) {
			began := time.Now()
			seed, what := catch(t, &m)
			t.Logf("caught by seed %d, in %v: %s\n    %s", seed, time.Since(began).Round(time.Second), m.bug, what)
			seeds = append(seeds, seed)
			if r := Run(NewPlan(uint64(seed), Swarm), Options{Checker: &linearizability.Checker{}}); r.Violation != nil {
				t.Errorf("seed %d is not clean without the bug: %v", seed, r.Violation)
			}
		})
	}
	for _, m := range harmless {
		t.Run(m.name(), func(t *testing.T) {
			if out, failed := plant(t, &m, harmlessSeeds); failed {
				t.Errorf("it is not harmless: %s", out)
			}
			t.Logf("reached and harmless in %d seeds: %s", harmlessSeeds, m.bug)
		})
	}
	if t.Failed() {
		return
	}
	slices.Sort(seeds)
	median, worst := seeds[len(seeds)/2], seeds[len(seeds)-1]
	t.Logf("%d bugs caught: median by seed %d, last by seed %d", len(seeds), median, worst)
	if median > medianMax || worst > mutantSeeds {
		t.Errorf("the median may be %d, and the last one %d", medianMax, mutantSeeds)
	}
	b := runBatch(1, worst, Swarm, 1)
	b.fail(t)
	if len(b.failed) == 0 {
		t.Logf("seeds 1 to %d are clean without them", worst)
	}
}

func (m *mutant) name() string { return strings.Join(m.tags, "+") }

var caughtLine = regexp.MustCompile(`(?m)^ *\S+_test\.go:\d+: (.*-run TestSeed -seed=0x([0-9a-f]+)\S*\n.*)`)

// catch returns the seed that catches a bug, and how.
func catch(t *testing.T, m *mutant) (seed int, what string) {
	t.Helper()
	out, failed := plant(t, m, mutantSeeds)
	found := caughtLine.FindStringSubmatch(out)
	if !failed || found == nil {
		t.Fatalf("not caught in %d seeds: %s\n%s", mutantSeeds, m.bug, out)
	}
	n, err := strconv.ParseUint(found[2], 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int(n), found[1]
}

// plant builds the simulation with a bug and runs the swarm until a seed fails.
// The bug's branch must be reached.
func plant(t *testing.T, m *mutant, seeds int) (output string, failed bool) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), m.tags[0])
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags="+strings.Join(m.tags, ","), "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building it: %v\n%s", err, out)
	}
	run := exec.CommandContext(t.Context(), binary, "-test.run=^TestSwarm$", "-test.timeout=0", "-test.v", "-first=1", "-seeds="+strconv.Itoa(seeds), "-most=1")
	out, err := run.CombinedOutput()
	if !strings.Contains(string(out), string(m.mark)) {
		t.Fatalf("the mark %q is not hit in %d seeds: the bug is never reached", m.mark, seeds)
	}
	return string(out), err != nil
}
