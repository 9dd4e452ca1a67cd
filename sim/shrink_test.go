package sim

import (
	"reflect"
	"testing"
	"time"
)

// TestShrinkerKeepsWhatItIsAskedToKeepAndLittleElse shrinks by what a run of the
// sound core shows: a copy is put out and comes back.
func TestShrinkerKeepsWhatItIsAskedToKeepAndLittleElse(t *testing.T) {
	shows := func(r *Report) bool {
		return r.Violation == nil && r.Counts.Evictions > 0 && r.Counts.Resyncs > 0
	}
	shrunk := func(procs int) *shrinker {
		s := newShrinker(t.Context(), procs, searchMax)
		s.best, s.fails = Run(NewPlan(3, Swarm), Options{}), shows
		if !shows(s.best) {
			t.Fatal("the seed does not show it: choose another")
		}
		s.shrink()
		return s
	}
	s := shrunk(2)
	p := s.best.Plan
	t.Logf("%d faults, %d operations, %d nodes, %d volumes, %v, in %d runs", len(p.Faults), s.operationCount(), p.Nodes, len(p.Volumes), p.Safety, s.runs)
	if !shows(Run(p, Options{})) {
		t.Error("what is left does not show it")
	}
	if len(p.Faults) > 3 || s.operationCount() > 6 || p.Nodes > 3 || len(p.Volumes) > 1 {
		t.Errorf("left are %d faults, %d operations, %d nodes, %d volumes", len(p.Faults), s.operationCount(), p.Nodes, len(p.Volumes))
	}
	if !reflect.DeepEqual(shrunk(1).best.Plan, p) {
		t.Error("one processor shrinks to something else")
	}
}

func TestShrinkerRefusesARunThatDoesNotFail(t *testing.T) {
	if _, err := Shrink(t.Context(), NewPlan(1, Quiet), time.Minute); err == nil {
		t.Error("it shrank a run that does not fail")
	}
}
