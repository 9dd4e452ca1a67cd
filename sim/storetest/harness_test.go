package storetest

import "testing"

func toyConfig(seed uint64, m mutation) Config {
	return Config{Seed: seed, Capacity: 512 << 10, BlockSize: toyBlock, Sector: 512, Make: newToy(m), Trace: testing.Verbose()}
}

func TestHarnessFindsNothingWrongWithAFaithfulStore(t *testing.T) {
	t.Parallel()
	var all Report
	for seed := range uint64(3) {
		report, err := Explore(toyConfig(seed, faithful), DrawFlat(seed, 60, 2, 32), Exploration{Seeds: 1, Deeper: 20})
		if err != nil {
			t.Fatal(err)
		}
		all.Boundaries += report.Boundaries
		all.Crashes += report.Crashes
		all.Deeper += report.Deeper
	}
	if all.Boundaries < 60 || all.Crashes < 400 || all.Deeper < 50 {
		t.Errorf("too little was tried: %+v", all)
	}
}

func TestHarnessNoticesEveryBrokenPromise(t *testing.T) {
	t.Parallel()
	for m := faithful + 1; m < mutationCount; m++ {
		seed := uint64(0)
		for ; seed < 40; seed++ {
			if _, err := Explore(toyConfig(seed, m), DrawFlat(seed, 60, 2, 32), Exploration{Seeds: 1, Every: 3}); err != nil {
				t.Logf("mutation %d, seed %d: %.200s", m, seed, err)
				break
			}
		}
		if seed == 40 {
			t.Errorf("mutation %d was not noticed in 40 scripts", m)
		}
	}
}
