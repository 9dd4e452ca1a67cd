package storetest

import (
	"testing"

	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/sim/disk"
)

// Small on purpose: the ring takes 24 batches of one record, the disk some 450 chunks.
const (
	blockSize = 64
	chunkSize = 4096 // of a slot of the disk; the data of a chunk is 1 KiB here
	journal   = 192 << 10
	capacity  = 6 << 20
)

func small(seed uint64) Config {
	return Config{
		Seed: seed, Capacity: capacity, Journal: journal, BlockSize: blockSize, Trace: true,
		Limits: store.Limits{BatchRecords: 4, BatchBytes: 4 << 10, IndexEntries: 64, CacheBytes: 64 << 10},
	}
}

// everywhere crashes script everywhere, with a few seeds, which also change the
// order in which operations complete and the size of sectors.
func everywhere(t *testing.T, script ...Line) {
	t.Helper()
	exploreWith(t, Exploration{Seeds: 1, Deeper: 25}, script...)
}

func exploreWith(t *testing.T, x Exploration, script ...Line) {
	t.Helper()
	seeds := uint64(2)
	if testing.Short() {
		seeds, x.Every, x.Deeper = 1, max(4, 4*x.Every), 4*x.Deeper
	}
	for seed := range seeds {
		c := small(seed)
		report, err := Explore(c, script, x)
		if err != nil {
			t.Fatal(err)
		}
		if report.Crashes < 20 {
			t.Fatalf("too little was tried: %+v", report)
		}
	}
}

// play runs script on a machine and fails with its trace.
func play(t *testing.T, c Config, script ...Line) *Machine {
	t.Helper()
	m := New(c)
	m.Play(script)
	healthy(t, m)
	return m
}

func healthy(t *testing.T, m *Machine) {
	t.Helper()
	if m.failure != nil {
		t.Fatalf("%v\n%s", m.failure, m.Trace())
	}
}

// fillRing writes enough to go round the ring times, everything stable.
func fillRing(slot int, times int) (script []Line) {
	for i := range 24 * times {
		script = append(script,
			Line{Verb: Write, Slot: slot, A: uint64(i * 3 % 29), N: 2},
			Line{Verb: Sync, Slot: slot}, Line{Verb: Drain}, Line{Verb: Stable, Slot: slot})
	}
	return script
}

func lines(parts ...[]Line) (script []Line) {
	for _, p := range parts {
		script = append(script, p...)
	}
	return script
}

// durableWrite writes, syncs and makes stable.
func durableWrite(slot int, first, count uint64) []Line {
	return []Line{{Write, slot, first, count}, {Sync, slot, 0, 0}, {Drain, slot, 0, 0}, {Stable, slot, 0, 0}}
}

func TestRule1UnstableRecordsNeverChangeHomeBlocks(t *testing.T) {
	t.Parallel()
	everywhere(t, lines(
		[]Line{{Create, 0, 0, 32}},
		durableWrite(0, 0, 16), durableWrite(0, 3, 2),
		[]Line{
			{Idle, 0, 0, 31},
			{Write, 0, 3, 2},
			{Write, 0, 0, 16},
			{Zero, 0, 8, 2},
			{Sync, 0, 0, 0},
			{Drain, 0, 0, 0}, // durable, not stable
			{Idle, 0, 0, 62},
			{Read, 0, 0, 16},
			{Truncate, 0, 0, 3},
			{Read, 0, 0, 16},
			{Idle, 0, 0, 31},
			{Read, 0, 0, 16},
		})...)
}

func TestRule1TruncateBelowWhatIsStableIsRefused(t *testing.T) {
	t.Parallel()
	m := play(t, small(1), lines([]Line{{Create, 0, 0, 32}}, durableWrite(0, 0, 2), durableWrite(0, 1, 2), []Line{{Idle, 0, 0, 31}})...)
	r := m.replicas[0]
	token := m.token(func(*store.Result) { t.Error("a refused truncation has a result") })
	status := m.store.Truncate(m.now, r.handle, 9, 1, token, &m.out)
	m.settle()
	m.Drain()
	if status != belowStable {
		t.Fatalf("status %d, want BelowStable", status)
	}
	delete(m.expected, token)
	m.Play([]Line{{Read, 0, 0, 16}, {Verb: Kill}})
	healthy(t, m)
}

func TestRule2HomeIsNotOverwrittenBeforeJournalIsDurable(t *testing.T) {
	t.Parallel()
	everywhere(t, lines(
		[]Line{{Create, 0, 0, 32}},
		durableWrite(0, 0, 16), durableWrite(0, 2, 3),
		[]Line{
			{Idle, 0, 0, 31},
			{Write, 0, 2, 3},
			{Write, 0, 4, 4},
			{Drain, 0, 0, 0},
			{StableAhead, 0, 0, 0}, // accepted here, durable elsewhere
			{Run, 0, 0, 4},
			{Idle, 0, 0, 31},
			{Write, 0, 5, 1},
			{Run, 0, 0, 2},
		})...)
}

func TestRule3HomeIsWrittenOnlyForSealedBatches(t *testing.T) {
	t.Parallel()
	everywhere(t, lines(
		[]Line{{Create, 0, 0, 32}, {Write, 0, 16, 16}, {Sync, 0, 0, 0}, {Drain, 0, 0, 0}, {Stable, 0, 0, 0}}, // a chunk placed by the last durable batch
		durableWrite(0, 18, 2), // then overwritten in place
		[]Line{{Idle, 0, 0, 5}, {Idle, 0, 0, 31}, {Read, 0, 16, 16}},
		durableWrite(0, 20, 1),
		[]Line{{Idle, 0, 0, 31}})...)
}

func TestRule4UnstableRecordsDoNotHoldTheJournalsTail(t *testing.T) {
	t.Parallel()
	unstable := []Line{
		{Create, 0, 0, 32},
		{Create, 1, 0, 32},
		{Write, 1, 0, 2},
		{Write, 1, 16, 16},
		{Zero, 1, 1, 1},
		{Write, 1, 1, 3},
		{Sync, 1, 0, 0},
		{Drain, 0, 0, 0},
	}
	script := lines(unstable, fillRing(0, 3), []Line{
		{Read, 1, 0, 16},
		{Read, 1, 16, 16},
		{Meta, 1, 0, 0},
		{Write, 1, 3, 1},
		{Sync, 1, 0, 0},
		{Drain, 0, 0, 0},
		{Verb: Kill},
		{Read, 1, 0, 16},
		{Truncate, 1, 0, 2},
		{Verb: PowerCut},
	}, fillRing(0, 2), []Line{{Stable, 1, 0, 0}, {Idle, 0, 0, 31}, {Verb: PowerCut}, {Read, 1, 0, 16}})
	m := play(t, small(4), script...)
	if n := len(m.replicas[1].log); n == 0 {
		t.Fatal("the script left nothing to look at")
	}
	exploreWith(t, Exploration{Seeds: 1, Every: 11, Deeper: 60}, script...)
}

func TestRule5TruncationIsARecordThatReplayObeys(t *testing.T) {
	t.Parallel()
	everywhere(t, lines(
		[]Line{{Create, 0, 0, 32}}, durableWrite(0, 0, 4),
		[]Line{
			{Write, 0, 1, 2},
			{Write, 0, 16, 16},
			{Write, 0, 3, 4},
			{Sync, 0, 0, 0},
			{Drain, 0, 0, 0},
			{Truncate, 0, 0, 2},
			{Write, 0, 2, 2},
			{Write, 0, 16, 2},
			{Run, 0, 0, 1},
			{Truncate, 0, 0, 1},
			{Write, 0, 16, 16},
			{Sync, 0, 0, 0},
			{Drain, 0, 0, 0},
			{Stable, 0, 0, 0},
			{Idle, 0, 0, 31},
			{Truncate, 0, 0, 5},
		})...)
}

func TestRule6TruncationUncoversOlderVersions(t *testing.T) {
	t.Parallel()
	everywhere(t, lines(
		[]Line{{Create, 0, 0, 32}}, durableWrite(0, 0, 8),
		[]Line{
			{Write, 0, 0, 8},
			{Write, 0, 4, 8},
			{Write, 0, 0, 16},
			{Zero, 0, 2, 4},
			{Write, 0, 3, 1},
			{Sync, 0, 0, 0},
			{Drain, 0, 0, 0},
			{Read, 0, 0, 16},
			{Truncate, 0, 0, 1},
			{Read, 0, 0, 16},
			{Truncate, 0, 0, 1},
			{Read, 0, 0, 16},
			{Stable, 0, 0, 1},
			{Idle, 0, 0, 31},
			{Read, 0, 0, 16},
			{Truncate, 0, 0, 1},
			{Read, 0, 0, 16},
			{Truncate, 0, 0, 1},
			{Read, 0, 0, 16},
		})...)
}

func TestRule7CheckpointHoldsExactlyTheStableRecordsBelowItsCut(t *testing.T) {
	t.Parallel()
	busy := []Line{}
	for i := range uint64(14) {
		busy = append(busy,
			Line{Write, 0, i * 5 % 40, 1 + i%3}, Line{Write, int(i % 2), i % 3 * 16, 16}, Line{Sync, int(i % 2), 0, 0},
			Line{Run, 0, 0, 2 + i%3}, Line{Stable, int(i % 2), 0, i % 2}, Line{Zero, 1, i * 7 % 40, 3})
	}
	exploreWith(t, Exploration{Seeds: 1, Every: 2, Deeper: 60}, lines([]Line{{Create, 0, 0, 48}, {Create, 1, 0, 48}}, busy, []Line{{Idle, 0, 0, 31}}, busy)...)
}

func TestRule8MapAndZeroStayInTheOverlayUntilStable(t *testing.T) {
	t.Parallel()
	everywhere(t, lines(
		[]Line{{Create, 0, 0, 48}}, durableWrite(0, 0, 16), durableWrite(0, 16, 16),
		[]Line{
			{Idle, 0, 0, 31},
			{Write, 0, 0, 16},
			{Zero, 0, 12, 10},
			{Write, 0, 32, 16},
			{Sync, 0, 0, 0},
			{Drain, 0, 0, 0},
			{Idle, 0, 0, 31},
			{Read, 0, 0, 16},
			{Read, 0, 16, 16},
			{Truncate, 0, 0, 2},
			{Idle, 0, 0, 31},
			{Read, 0, 0, 16},
			{Read, 0, 16, 16},
			{Write, 0, 0, 16},
			{Truncate, 0, 0, 9},
			{Idle, 0, 0, 31},
			{Read, 0, 0, 16},
		})...)
}

func TestRule9BatchesOfAnEarlierOpenAreNotTakenForNewOnes(t *testing.T) {
	t.Parallel()
	lose := uint64(disk.LoseSectors - disk.LoseAll)
	again := []Line{{Write, 0, 1, 1}, {Nop, 0, 0, 0}, {Nop, 0, 0, 0}, {Run, 0, 0, 2}, {Nop, 0, 0, 0}, {Drain, 0, 0, 0}}
	script := []Line{{Create, 0, 0, 16}, {Sync, 0, 0, 0}, {Drain, 0, 0, 0}}
	for i := range uint64(5) {
		script = append(script, again...)
		script = append(script, Line{PowerCut, 0, 0, lose + i}, Line{Replay, 0, 0, 0}, Line{Run, 0, 0, i})
	}
	exploreWith(t, Exploration{Seeds: 1, Every: 2, Deeper: 40, After: lines([]Line{{Replay, 0, 0, 0}}, again, []Line{{PowerCut, 0, 0, lose}, {Replay, 0, 0, 0}}, again)}, script...)
}

func TestRule11FailedSyncIsNeverTakenBack(t *testing.T) {
	t.Parallel()
	script := lines([]Line{{Create, 0, 0, 32}, {Drain, 0, 0, 0}}, durableWrite(0, 0, 3),
		[]Line{
			{Write, 0, 1, 3},
			{Drain, 0, 0, 0},
			{Write, 0, 16, 16},
			{Sync, 0, 0, 0},
			{Run, 0, 0, 2},
			{Write, 0, 5, 1},
			{Drain, 0, 0, 0},
			{Write, 0, 7, 1},
			{Sync, 0, 0, 0},
			{Drain, 0, 0, 0},
			{Stable, 0, 0, 0},
			{Idle, 0, 0, 31},
			{Write, 0, 8, 1},
			{Sync, 0, 0, 0},
			{Drain, 0, 0, 0},
			{PowerCut, 0, 0, 0},
		})
	usual := play(t, small(3), script...)
	tried := 0
	for _, op := range usual.operations {
		if op.kind == diskRead {
			continue
		}
		faults := []disk.Kind{disk.SyncFails, disk.SyncSwallows, disk.SyncDrops}
		if op.kind == diskWrite {
			faults = []disk.Kind{disk.WriteError}
		}
		for _, f := range faults {
			c := small(3)
			c.Faults.Plan = []disk.Planned{{Op: op.number, Fault: f}}
			m := New(c)
			m.Play(script)
			m.Crash(Crash{Power: true, Loss: disk.LoseAll})
			if m.failure != nil {
				t.Fatalf("operation %d (%s at %d): %v: %v\n%s", op.number, kindName(op.kind), op.offset, f, m.failure, m.Trace())
			}
			tried++
		}
	}
	if tried < 40 {
		t.Fatalf("only %d failures were tried", tried)
	}
}

func TestRule15AcceptedAdvancesInOrderAndOnlyOverWrittenData(t *testing.T) {
	t.Parallel()
	everywhere(t,
		Line{Create, 0, 0, 48},
		Line{Write, 0, 0, 16}, Line{Write, 0, 16, 1}, Line{Write, 0, 16, 16}, Line{Run, 0, 0, 3}, Line{Write, 0, 0, 1}, Line{Zero, 0, 4, 30},
		Line{Write, 0, 32, 16}, Line{Run, 0, 0, 2}, Line{Write, 0, 1, 1}, Line{Sync, 0, 0, 0}, Line{Write, 0, 32, 16}, Line{Run, 0, 0, 3},
		Line{Sync, 0, 0, 0}, Line{Drain, 0, 0, 0}, Line{Stable, 0, 0, 0}, Line{Write, 0, 0, 16})
}

func TestRule15WhatIsBehindAMapWithoutDataIsCutForGood(t *testing.T) {
	t.Parallel()
	lose := uint64(disk.LoseSectors - disk.LoseAll)
	again := []Line{{Write, 0, 0, 16}, {Write, 1, 3, 1}, {Write, 0, 16, 16}, {Run, 0, 0, 3}, {Write, 1, 0, 16}, {Write, 0, 2, 2}, {Write, 1, 5, 2}, {Run, 0, 0, 4}}
	script := lines([]Line{{Create, 0, 0, 32}, {Create, 1, 0, 32}}, durableWrite(0, 0, 16), durableWrite(1, 0, 2), []Line{{Idle, 0, 0, 31}}, again,
		[]Line{{PowerCut, 0, 0, lose}, {Replay, 0, 0, 0}, {Run, 0, 0, 2}}, again, []Line{{Sync, 1, 0, 0}, {Run, 0, 0, 3}})
	exploreWith(t, Exploration{Seeds: 1, Every: 2, Deeper: 40, After: lines([]Line{{Replay, 0, 0, 0}, {Replay, 1, 0, 0}}, again, []Line{{PowerCut, 0, 0, lose}, {Replay, 0, 0, 0}}, again)}, script...)
}

func TestRule17ReadsInFlightKeepWhatTheyRead(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		c := small(seed)
		c.Faults.Rates[disk.SlowOp] = 4
		script := []Line{{Create, 0, 0, 48}, {Create, 1, 0, 48}}
		for i := range uint64(120) {
			script = append(script,
				Line{Read, 0, i * 7 % 48, 16}, Line{Write, 0, i * 5 % 48, 1 + i%16}, Line{Read, 1, i * 3 % 48, 16}, Line{Write, 1, i % 3 * 16, 16},
				Line{Sync, int(i % 2), 0, 0}, Line{Run, 0, 0, 6}, Line{Stable, 0, 0, 0}, Line{Stable, 1, 0, 0}, Line{Zero, 1, i % 40, 4})
		}
		m := play(t, c, script...)
		m.Settled()
		healthy(t, m)
	}
}
