package sim

import "testing"

func TestCanaryIsCaughtAndOnlyBecauseTheJudgesAreNotTold(t *testing.T) {
	r := Canary(nil)
	if r.Violation == nil {
		t.Fatal("writes vanish, and nobody notices")
	}
	t.Logf("seed %d: %v", r.Plan.Seed, r.Violation)
	told := *r.Plan
	told.Canary = false
	if honest := Run(&told, Options{}); honest.Violation != nil {
		t.Errorf("it fails anyway: %v", honest.Violation)
	}
}
