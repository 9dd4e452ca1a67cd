package storetest

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/sim/disk"
)

var (
	firstFlag  = flag.Uint64("first", 0, "the first seed that TestFreshTracesSurvive plays; 0: one never played before")
	tracesFlag = flag.Int("traces", 2, "how many seeds of each kind of trace it plays")
)

// drawn returns a machine's configuration with limits of its own.
func drawn(seed uint64) Config {
	c := small(seed)
	c.Limits.BatchRecords = 1 + int(seed%7)
	c.Limits.IndexEntries = 16 << (seed % 4)
	c.Journal = journal << (seed % 2)
	if seed%8 == 7 { // the real block size: the same code
		c.BlockSize = 4096
		c.Capacity, c.Journal = 24<<20, 2<<20
		c.Limits = store.Limits{BatchRecords: 8, BatchBytes: 64 << 10, IndexEntries: 64, CacheBytes: 1 << 20}
	}
	return c
}

func TestSmallRandomScriptsSurviveEveryCrash(t *testing.T) {
	t.Parallel()
	seeds := uint64(10)
	if testing.Short() {
		seeds = 4
	}
	var all Report
	for seed := range seeds {
		report, err := Explore(drawn(seed), Draw(seed, 80, 2, 48), Exploration{Seeds: 1, Every: 5, Deeper: 100})
		if err != nil {
			t.Fatalf("script of seed %d: %v", seed, err)
		}
		all.Boundaries += report.Boundaries
		all.Crashes += report.Crashes
		all.Deeper += report.Deeper
	}
	t.Logf("%+v", all)
}

// withCrashes adds a crash or an orderly restart now and then.
func withCrashes(seed uint64, script []Line) (longer []Line) {
	for i, l := range script {
		longer = append(longer, l)
		switch mixed := (seed*7919 + uint64(i)*104729) % 97; {
		case mixed == 0:
			longer = append(longer, Line{Verb: Kill})
		case mixed == 1:
			longer = append(longer, Line{Verb: PowerCut, N: seed + uint64(i)})
		case mixed == 2 && i%3 == 0:
			longer = append(longer, Line{Verb: Close})
		}
	}
	return longer
}

// longTrace plays a long script with crashes, and counts the branches it came through.
func longTrace(seed uint64, marks map[step.Mark]int) *Machine {
	c := drawn(seed)
	c.Marks = marks
	m := New(c)
	m.Play(withCrashes(seed, Draw(seed, 1500, 3, 96)))
	m.Settled()
	m.Crash(Crash{Power: true})
	return m
}

// survived insists that nothing was wrong with what a seed played.
func survived(t *testing.T, seed uint64, m *Machine) {
	t.Helper()
	if m.failure != nil {
		t.Fatalf("seed %d: %v\n%s", seed, m.failure, m.Trace())
	}
}

func TestLongRandomTracesSurviveTheirCrashes(t *testing.T) {
	t.Parallel()
	seeds := uint64(20)
	if testing.Short() {
		seeds = 5
	}
	marks := make(map[step.Mark]int)
	for seed := uint64(1066); seed < 1066+seeds; seed++ {
		survived(t, seed, longTrace(seed, marks))
	}
	for _, mark := range []step.Mark{
		"store: layer freed", "store: layer merged", "store: layer folded down", "store: layer folded up", "store: merge copies blocks", "store: chunk merged", "store: park", "store: MAP",
		"store: zero waits for others to go home",
	} {
		t.Logf("%s: %d", mark, marks[mark])
		if marks[mark] == 0 {
			t.Errorf("no script came to %q", mark)
		}
	}
}

// emptyTrace plays a script, and deletes every replica that it leaves: the disk must
// be as free as before.
func emptyTrace(seed uint64) *Machine {
	m := New(drawn(seed))
	m.Play(lines([]Line{{Create, 0, 0, 16}}, durableWrite(0, 0, 16), []Line{{Idle, 0, 0, 40}, {Delete, 0, 0, 0}, {Idle, 0, 0, 62}, {Verb: Kill}, {Idle, 0, 0, 31}}))
	empty := m.Free() // the bitmap has its first pages
	m.Play(withCrashes(seed, Draw(seed, 600, 3, 96)))
	m.Settled()
	for slot := range m.replicas {
		m.Play([]Line{{Verb: Delete, Slot: slot}, {Verb: Drain}})
	}
	m.Play([]Line{{Verb: Idle, N: 62}, {Verb: PowerCut, N: seed}, {Verb: Idle, N: 62}})
	if free := m.Free(); m.failure == nil && free != empty {
		m.fail("free was %d, and is %d with every replica deleted", empty, free)
	}
	return m
}

func TestSpaceComesBackWhenEverythingIsDeleted(t *testing.T) {
	t.Parallel()
	for seed := uint64(2000); seed < 2012; seed++ {
		survived(t, seed, emptyTrace(seed))
	}
}

// failingTrace plays a script on a disk whose writes and syncs fail.
func failingTrace(seed uint64) *Machine {
	c := drawn(seed)
	for _, k := range []disk.Kind{disk.WriteError, disk.SyncFails, disk.SyncSwallows, disk.SyncDrops} {
		if (seed>>(k%4))&1 == 0 {
			c.Faults.Rates[k] = 150
		}
	}
	c.Faults.Rates[disk.SlowOp] = 20
	m := New(c)
	m.Play(withCrashes(seed, Draw(seed, 800, 3, 96)))
	m.disk.SetFaults(disk.Faults{})
	m.Crash(Crash{Power: true})
	m.Settled()
	return m
}

func TestSyncAndWriteErrorsLoseNothingDurable(t *testing.T) {
	t.Parallel()
	for seed := uint64(3000); seed < 3030; seed++ {
		survived(t, seed, failingTrace(seed))
	}
}

// damagedTrace plays a script on a disk that does not give back what was written.
func damagedTrace(seed uint64) *Machine {
	c := drawn(seed)
	c.Faulty = true
	for _, k := range []disk.Kind{disk.BitRot, disk.LatentError, disk.ReadError, disk.MisdirectedRead, disk.MisdirectedWrite} {
		if (seed>>(k%5))&1 == 0 {
			c.Faults.Rates[k] = 100
		}
	}
	m := New(c)
	m.Play(withCrashes(seed, Draw(seed, 600, 3, 96)))
	return m
}

func TestDamagedContentIsNeverReturnedAsGood(t *testing.T) {
	t.Parallel()
	refused, stopped := 0, 0
	var count [disk.KindCount]uint64
	for seed := uint64(4000); seed < 4040; seed++ {
		m := damagedTrace(seed)
		survived(t, seed, m)
		refused += m.refused
		if m.stopped != "" {
			stopped++
		}
		for k := range count {
			count[k] += m.disk.Count(disk.Kind(k))
		}
	}
	t.Logf("faults %v; %d blocks refused; %d of 40 disks stopped serving", count, refused, stopped)
	if refused == 0 {
		t.Error("no block was ever refused: the faults had no effect")
	}
}

// fullTrace plays a script that writes more than the disk holds.
func fullTrace(seed uint64, onStatus func(full bool)) *Machine {
	c := small(seed)
	c.Capacity = homeAt + 80*chunkSize
	c.Capacity += -c.Capacity & (64<<10 - 1)
	m := New(c)
	m.onStatus = onStatus
	m.Play(withCrashes(seed, Draw(seed, 800, 3, 640)))
	m.Settled()
	return m
}

func TestFullDiskNeverStopsWhatIsThere(t *testing.T) {
	t.Parallel()
	refusals := 0
	for seed := uint64(5000); seed < 5020; seed++ {
		survived(t, seed, fullTrace(seed, func(full bool) {
			if full {
				refusals++
			}
		}))
	}
	if refusals == 0 {
		t.Error("no disk was ever full")
	}
}

// TestFreshTracesSurvive plays, beside the fixed seeds of the tests above, some that
// nobody has seen: a run finds what all those before did not.
func TestFreshTracesSurvive(t *testing.T) {
	t.Parallel()
	first := *firstFlag
	if first == 0 {
		first = uint64(time.Now().UnixNano()) &^ 0xffff
	}
	for _, kind := range []struct {
		name string
		play func(seed uint64) *Machine
	}{
		{"long", func(seed uint64) *Machine { return longTrace(seed, nil) }},
		{"empty", emptyTrace},
		{"failing", failingTrace},
		{"damaged", damagedTrace},
		{"full", func(seed uint64) *Machine { return fullTrace(seed, nil) }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			for seed := first; seed < first+uint64(*tracesFlag); seed++ {
				replay := fmt.Sprintf("go test ./sim/storetest -run 'TestFreshTracesSurvive/^%s$' -first=%d -traces=1", kind.name, seed)
				t.Log(replay) // here, for a panic says nothing of it
				if m := kind.play(seed); m.failure != nil {
					t.Errorf("%v\n%s\n    %s", m.failure, m.Trace(), replay)
				}
			}
		})
	}
}
