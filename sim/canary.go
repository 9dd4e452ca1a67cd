package sim

import "github.com/lagan-storage/lagan/linearizability"

// canarySeeds is within how many seeds a canary must be caught.
const canarySeeds = 20

// Canary runs worlds that must fail: all hosts lose power, and the judges are not
// told, so that what was written and not flushed is gone against the promise. A
// swarm that does not catch that would catch nothing. The report is that of the
// first run that failed, or of the last one.
func Canary(c *linearizability.Checker) (r *Report) {
	for seed := range uint64(canarySeeds) {
		p := NewPlan(seed+1, Quiet)
		p.Faults = []Fault{{At: p.Safety / 2, Kind: LosePowerAll, For: p.Safety / 1000}}
		p.Canary = true
		if r = Run(p, Options{Checker: c}); r.Violation != nil {
			return r
		}
	}
	return r
}
