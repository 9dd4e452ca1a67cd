package sim

import (
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/linearizability"
)

func TestSavedHistoryTellsWhichFaultsStruck(t *testing.T) {
	r := Run(NewPlan(17, Swarm), Options{})
	var saved strings.Builder
	if err := r.Histories[0].Save(&saved); err != nil {
		t.Fatal(err)
	}
	told := strings.Count(saved.String(), `"kind":"fault"`)
	struck := 0
	for i := range r.Struck {
		if !r.Struck[i].Withheld {
			struck++
		}
	}
	if told == 0 || told != struck {
		t.Errorf("%d faults are told, %d struck", told, struck)
	}
	h, err := linearizability.Load(strings.NewReader(saved.String()))
	if err != nil {
		t.Fatal(err)
	}
	if found := (&linearizability.Checker{}).Check(h); found != nil {
		t.Errorf("legal in the simulation, but not from its file: %v", found)
	}
}
