package storetest

import (
	"maps"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
)

// solid makes everything durable and stable.
func solid(slot int) []Line {
	return []Line{{Sync, slot, 0, 0}, {Drain, slot, 0, 0}, {Stable, slot, 0, 0}}
}

// layered makes a replica with two snapshots, chunks in each of its layers.
func layered(slot int) []Line {
	return lines([]Line{
		{Create, slot, 0, 48},
		{Write, slot, 0, 16},
		{Write, slot, 16, 3},
		{Snap, slot, 0, 0},
		{Write, slot, 1, 2},
		{Zero, slot, 17, 1},
		{Write, slot, 32, 2},
		{Snap, slot, 0, 0},
		{Write, slot, 2, 3},
		{Write, slot, 18, 2},
	}, solid(slot))
}

// seeAll reads every image of a replica with up to two snapshots.
func seeAll(slot int) (script []Line) {
	for _, n := range []uint64{1, 2} {
		for _, chunk := range []uint64{0, 1, 2} {
			script = append(script, Line{ReadSnap, slot, chunk, n})
		}
	}
	return append(script, Line{Read, slot, 0, 16}, Line{Read, slot, 16, 16}, Line{Read, slot, 32, 16})
}

func TestRule8SnapshotsStayInTheOverlayUntilStable(t *testing.T) {
	t.Parallel()
	exploreWith(t, Exploration{Seeds: 1, Every: 2, Deeper: 50}, lines(
		[]Line{{Create, 0, 0, 48}}, durableWrite(0, 0, 16),
		[]Line{
			{Idle, 0, 0, 31},
			{Write, 0, 2, 2},
			{Snap, 0, 0, 0},
			{Write, 0, 3, 2},
			{Write, 0, 16, 16},
			{Sync, 0, 0, 0},
			{Drain, 0, 0, 0},
			{Idle, 0, 0, 31}, // parked, both layers
			{ReadSnap, 0, 0, 1},
			{Snap, 0, 0, 1}, // back to it
			{Write, 0, 5, 1},
			{Sync, 0, 0, 0},
			{Drain, 0, 0, 0},
			{Idle, 0, 0, 31},
			{Truncate, 0, 0, 2},
			{Read, 0, 0, 16},
			{Write, 0, 6, 1},
			{Truncate, 0, 0, 9},
			{Read, 0, 0, 16},
			{Idle, 0, 0, 31},
			{Snap, 0, 0, 0},
			{Write, 0, 7, 1},
		}, solid(0), []Line{{Idle, 0, 0, 31}, {ReadSnap, 0, 0, 1}, {Read, 0, 0, 16}})...)
}

func TestRule8DeletionStaysInTheOverlayUntilStable(t *testing.T) {
	t.Parallel()
	exploreWith(t, Exploration{Seeds: 1, Every: 2, Deeper: 50}, lines(layered(0), []Line{
		{Idle, 0, 0, 31},
		{DelSnap, 0, 0, 1},
		{Write, 0, 4, 1},
		{Sync, 0, 0, 0},
		{Drain, 0, 0, 0},
		{Idle, 0, 0, 31}, // nothing may merge
		{Truncate, 0, 0, 2},
	}, seeAll(0), []Line{{DelSnap, 0, 0, 2}}, solid(0), []Line{{Idle, 0, 0, 31}}, seeAll(0))...)
}

func TestRule8MergeWaitsForTheRecordsOfItsLayer(t *testing.T) {
	t.Parallel()
	exploreWith(t, Exploration{Seeds: 1, Every: 2, Deeper: 50}, lines(
		layered(0), []Line{{DelSnap, 0, 0, 1}, {DelSnap, 0, 0, 1}, {Sync, 0, 0, 0}, {Run, 0, 0, 3}, {StableAhead, 0, 0, 0}},
		seeAll(0), // its records are in the ring, and what is stable may go home
		[]Line{{Write, 0, 1, 3}, {Idle, 0, 0, 3}, {Write, 0, 16, 16}, {Idle, 0, 0, 31}, {Read, 0, 0, 16}, {Read, 0, 16, 16}})...)
}

func TestRule14LayersAreListedPulledAndPushedOneByOne(t *testing.T) {
	t.Parallel()
	exploreWith(t, Exploration{Seeds: 1, Every: 3, Deeper: 50}, lines(layered(0), []Line{
		{Write, 0, 7, 1}, // not stable: neither listed nor pulled
		{List, 0, 0, 0},
		{List, 0, 0, 1},
		{List, 0, 4, 1},
		{List, 0, 0, 2},
		{Pull, 0, 0, 0},
		{Pull, 0, 0, 1},
		{Pull, 0, 1, 1},
		{Pull, 0, 0, 2},
		{Pull, 0, 1, 2},
		{Pull, 0, 2, 2},
		{Idle, 0, 0, 31},
		{Pull, 0, 0, 0},
		{Pull, 0, 1, 1},
		{Pull, 0, 1, 2},
		{Create, 1, 0, 48},
		{Write, 1, 0, 16},
		{Drain, 1, 0, 0},
		{Reset, 1, 0, 0},
		{OpenLayer, 1, 0, 0},
		{Push, 1, 0, 1 << 8},
		{Push, 1, 1, 1 << 8},
		{Run, 1, 0, 2},
		{OpenLayer, 1, 0, 0},
		{Push, 1, 0, 0},
		{Push, 1, 0, 2 << 8},
		{Push, 1, 1, 3},
		{ReadSnap, 1, 0, 1},
		{ReadSnap, 1, 0, 2},
		{Read, 1, 0, 16},
		{OpenLayer, 1, 0, 1}, // as a source that went back
		{Drain, 1, 0, 0},
		{Idle, 1, 0, 31},
		{DropLayer, 1, 0, 2},
		{Drain, 1, 0, 0},
		{Idle, 1, 0, 31},
		{ReadSnap, 1, 0, 1},
		{Read, 1, 0, 16},
		{Continue, 1, 0, 12},
		{Write, 1, 3, 1},
		{Sync, 1, 0, 0},
		{Idle, 1, 0, 31},
	})...)
}

// The target keeps what it has: a resync of what changed replaces single chunks, of
// snapshots too, and what went home before is not taken for newer.
func TestRule14TargetThatKeepsItsContentTakesWhatChanged(t *testing.T) {
	t.Parallel()
	exploreWith(t, Exploration{Seeds: 1, Every: 2, Deeper: 50}, lines(layered(0), []Line{
		{Idle, 0, 0, 31},
		{Write, 0, 5, 2},
		{Zero, 0, 40, 8},
	}, solid(0), []Line{ // in the journal
		{Target, 0, 0, 0},
		{Push, 0, 0, 0},
		{Push, 0, 2, 0},
		{Push, 0, 1, 1 << 8},
		{Run, 0, 0, 3},
		{Push, 0, 0, 2 << 8},
		{Push, 0, 0, 3},
		{Read, 0, 0, 16},
		{Drain, 0, 0, 0},
		{OpenLayer, 0, 0, 0},
		{Push, 0, 1, 5},
		{Drain, 0, 0, 0},
		{Idle, 0, 0, 31},
		{ReadSnap, 0, 1, 1},
		{Write, 0, 6, 1}, // live
		{Sync, 0, 0, 0},
		{Drain, 0, 0, 0},
		{Stable, 0, 0, 0},
		{Push, 0, 0, 9},
		{Target, 0, 0, 0},
		{Drain, 0, 0, 0},
		{Pull, 0, 0, 0},
		{Pull, 0, 0, 2},
		{List, 0, 8, 0},
		{List, 0, 12, 1},
		{Idle, 0, 0, 31},
		{Pull, 0, 1, 0},
		{List, 0, 8, 0},
	})...)
}

// A stream that was continued goes on from there, though the journal has older
// records of it.
func TestRule14RewoundTargetGoesOnWhereItWasContinued(t *testing.T) {
	t.Parallel()
	exploreWith(t, Exploration{Seeds: 1, Every: 2, Deeper: 50}, lines([]Line{{Create, 0, 0, 32}}, durableWrite(0, 0, 16), []Line{
		{Target, 0, 0, 0},
		{Drain, 0, 0, 0},
		{Continue, 0, 22, 0},
		{Write, 0, 1, 1},
		{Target, 0, 0, 0}, // it is done
		{Drain, 0, 0, 0},
		{Write, 0, 2, 1},
		{Target, 0, 0, 0},
		{Write, 0, 3, 1},
		{Sync, 0, 0, 0},
		{Drain, 0, 0, 0},
		{Read, 0, 0, 16},
	})...)
}

// Trimmed blocks cover those of the snapshot below, at home and in the journal,
// whole chunks and parts, and still do when the layers are merged.
func TestRule13TrimUnderASnapshotNeverUncoversIt(t *testing.T) {
	t.Parallel()
	everywhere(t, lines([]Line{{Create, 0, 0, 48}, {Write, 0, 0, 16}, {Write, 0, 16, 16}, {Write, 0, 32, 3}, {Snap, 0, 0, 0}, {Write, 0, 1, 2}}, solid(0), []Line{
		{Idle, 0, 0, 31},
		{Zero, 0, 2, 30}, // a part of the first chunk, the whole second
		{Zero, 0, 33, 1},
		{Read, 0, 0, 16},
	}, solid(0), []Line{
		{Read, 0, 16, 16},
		{ReadSnap, 0, 1, 1},
		{Idle, 0, 0, 31}, // home
		{Read, 0, 0, 16},
		{Read, 0, 16, 16},
		{List, 0, 5, 0},
		{DelSnap, 0, 0, 1},
	}, solid(0), []Line{{Idle, 0, 0, 31}, {Read, 0, 0, 16}, {Read, 0, 16, 16}, {Read, 0, 32, 4}})...)
}

func TestRule16MergeDestageAndWritesTakeTurnsOnAChunk(t *testing.T) {
	t.Parallel()
	script := layered(0)
	for i := range uint64(5) {
		script = append(script,
			Line{Write, 0, i % 4, 2}, Line{Snap, 0, 0, 0}, Line{Write, 0, i, 2}, Line{Zero, 0, 15, 4}, Line{Sync, 0, 0, 0}, Line{Drain, 0, 0, 0},
			Line{Stable, 0, 0, 0}, Line{Idle, 0, 0, 2}, Line{DelSnap, 0, 0, 2}, Line{Sync, 0, 0, 0}, Line{Drain, 0, 0, 0}, Line{Stable, 0, 0, 0},
			Line{Write, 0, i % 2 * 16, 1 + i}, Line{Write, 0, 18, 2}, Line{Run, 0, 0, 3}, Line{Read, 0, 0, 16}, Line{Idle, 0, 0, 2}, Line{ReadSnap, 0, 1, i})
	}
	exploreWith(t, Exploration{Seeds: 1, Every: 5, Deeper: 80}, lines(script, []Line{{Idle, 0, 0, 31}}, seeAll(0))...)
	c := small(5)
	c.Marks = make(map[step.Mark]int)
	play(t, c, script...)
	for _, mark := range []step.Mark{"store: merge copies blocks", "store: layer merged"} {
		if c.Marks[mark] == 0 {
			t.Errorf("the script never came to %q: %v", mark, c.Marks)
		}
	}
}

// listed returns the changes above since that are listed of r's head.
func (m *Machine) listed(r *replica, since block.Seq) map[block.Chunk]block.Seq {
	list := map[block.Chunk]block.Seq{}
	m.store.ListChanged(m.now, r.handle, 0, since, 0, m.token(func(res *store.Result) {
		for _, c := range res.Changes {
			list[c.Chunk] = c.LastSeq
		}
	}), &m.out)
	m.settle()
	m.Drain()
	return list
}

func TestRule16MergedChunkKeepsTheNewestSeqOfBoth(t *testing.T) {
	t.Parallel()
	below := []Line{{Create, 0, 0, 64}, {Write, 0, 0, 3}, {Write, 0, 16, 16}, {Zero, 0, 32, 3}} // seq 1 to 3
	above := []Line{{Snap, 0, 0, 0}, {Write, 0, 5, 2}, {Write, 0, 48, 16}}                      // 4 to 6
	for name, script := range map[string][]Line{                                                // any order: each is played alone
		"store: layer folded down": lines(below, above),
		"store: layer folded up":   lines(below, above, []Line{{Write, 0, 33, 1}, {Write, 0, 49, 1}}), // the head has more
	} {
		c := small(3)
		c.Marks = make(map[step.Mark]int)
		m := play(t, c, lines(script, solid(0), []Line{{Idle, 0, 0, 31}, {DelSnap, 0, 0, 1}}, solid(0), []Line{{Idle, 0, 0, 62}, {Verb: PowerCut}, {Stable, 0, 0, 0}})...)
		if c.Marks[step.Mark(name)] == 0 {
			t.Errorf("the script never came to %q: %v", name, c.Marks)
		}
		list := m.listed(m.replicas[0], 0)
		want := map[block.Chunk]block.Seq{0: 5, 1: 2, 2: 3, 3: 6}
		if name == "store: layer folded up" {
			want[2], want[3] = 7, 8
		}
		if !maps.Equal(list, want) {
			t.Errorf("%s: listed are %v, want %v", name, list, want)
		}
	}
}

func TestRule19ClonesKeepTheLayersOfADeletedVolume(t *testing.T) {
	t.Parallel()
	exploreWith(t, Exploration{Seeds: 1, Every: 3, Deeper: 60}, lines(layered(0), []Line{
		{Idle, 0, 0, 31},
		{Clone, 0, 1, 1},
		{Clone, 0, 2, 2},
		{Write, 1, 3, 2},
		{Write, 2, 16, 16},
		{Read, 1, 0, 16},
		{Read, 2, 0, 16},
		{Drain, 0, 0, 0},
		{Delete, 0, 0, 0},
		{Drain, 0, 0, 0},
	}, solid(1), solid(2), []Line{
		{Idle, 0, 0, 31},
		{Read, 1, 0, 16},
		{Read, 1, 16, 16},
		{Read, 2, 0, 16},
		{Read, 2, 32, 16},
		{Snap, 1, 0, 0},
		{Write, 1, 0, 3},
		{Reset, 2, 0, 0},
		{Read, 2, 0, 16},
	}, solid(1), []Line{
		{Idle, 0, 0, 31},
		{Read, 1, 0, 16},
		{ReadSnap, 1, 0, 1},
		{Delete, 2, 0, 0},
		{Drain, 0, 0, 0},
		{Idle, 0, 0, 31},
		{Read, 1, 16, 16},
	})...)
}

func TestEveryCrashInTheLifeOfASnapshotLeavesEveryImageWhole(t *testing.T) {
	t.Parallel()
	script := lines(
		[]Line{{Create, 0, 0, 32}, {Write, 0, 0, 16}, {Snap, 0, 0, 0}, {Write, 0, 3, 2}}, solid(0),
		[]Line{
			{Idle, 0, 0, 31}, // both have chunk 0 at home
			{Clone, 0, 1, 1},
			{Write, 1, 5, 1},
			{DelSnap, 0, 0, 1}, // it waits for the clone
		}, solid(0), solid(1),
		[]Line{{Idle, 0, 0, 2}, {Delete, 1, 0, 0}, {Drain, 0, 0, 0}, {Idle, 0, 0, 4}, {Read, 0, 0, 16}, {Idle, 0, 0, 31}, {Read, 0, 0, 16}})
	everywhere(t, script...)
	c := small(1)
	c.Marks = make(map[step.Mark]int)
	play(t, c, script...)
	for _, mark := range []step.Mark{"store: merge copies blocks", "store: layer folded down"} {
		if c.Marks[mark] == 0 {
			t.Errorf("the script never came to %q: %v", mark, c.Marks)
		}
	}
}

func TestEveryCrashInTheLifeOfATargetsLayerLeavesEveryImageWhole(t *testing.T) {
	t.Parallel()
	everywhere(t,
		Line{Create, 0, 0, 32}, Line{Write, 0, 0, 16}, Line{Drain, 0, 0, 0}, Line{Reset, 0, 0, 0},
		Line{Push, 0, 0, 0}, Line{OpenLayer, 0, 0, 0}, Line{Push, 0, 0, 7}, Line{Run, 0, 0, 2}, Line{OpenLayer, 0, 0, 0}, Line{Push, 0, 1, 3}, Line{Drain, 0, 0, 0},
		Line{Idle, 0, 0, 31}, Line{DropLayer, 0, 0, 1}, Line{Run, 0, 0, 2}, Line{Push, 0, 0, 1 << 8}, Line{Drain, 0, 0, 0}, Line{Idle, 0, 0, 31}, Line{ReadSnap, 0, 0, 1}, Line{Read, 0, 0, 16})
}

func TestSnapshotIsTakenOnceWhateverIsSentTwice(t *testing.T) {
	t.Parallel()
	m := play(t, small(1), layered(0)...)
	now := m.replicas[0].after(len(m.replicas[0].log))
	ids := now.strata.ids()
	m.SnapAs(0, ids[0], 0)
	m.Play([]Line{{Write, 0, 0, 2}})
	m.SnapAs(0, ids[0], 0)
	m.DelSnap(0, 12345)
	m.Play(lines(solid(0), []Line{{Idle, 0, 0, 31}, {Verb: PowerCut}}))
	healthy(t, m)
	if n := len(m.store.Layers(m.replicas[0].handle, nil)); n != 3 {
		t.Errorf("%d layers, want two snapshots and a head", n)
	}
}

// TestRottenBlockStaysBadThroughAMerge: what cannot be read cannot be merged,
// and is never wrong data.
func TestRottenBlockStaysBadThroughAMerge(t *testing.T) {
	t.Parallel()
	script := lines([]Line{{Create, 0, 0, 16}, {Write, 0, 0, 8}, {Snap, 0, 0, 0}, {Write, 0, 4, 2}}, solid(0), []Line{{Idle, 0, 0, 62}})
	m := play(t, small(2), script...)
	rot := damagedBy(t, m, func(f *Machine) {
		for at := int64(homeAt); at < capacity; at += blockSize { // every block with content of block 1
			data := make([]byte, blockSize)
			f.disk.Peek(at, data)
			if s, ok := stampOf(m.replicas[0].pattern, 1, data); ok && s != 0 {
				data[20] ^= 1
				raw(t, f, step.DiskWrite, at, data)
			}
		}
	})
	rot.Play(lines([]Line{{DelSnap, 0, 0, 1}}, solid(0), []Line{{Idle, 0, 0, 62}, {Verb: Kill}}))
	if rot.failure != nil {
		t.Fatalf("%v\n%s", rot.failure, rot.Trace())
	}
	refused := map[block.Block]bool{}
	for b := range block.Block(8) {
		before := rot.refused
		rot.Read(0, block.Range{First: b, Count: 1})
		rot.Drain()
		refused[b] = rot.refused > before
	}
	if rot.failure != nil || !refused[1] || refused[0] || refused[4] {
		t.Errorf("%v; refused blocks are %v, want 1 alone", rot.failure, refused)
	}
	var layers []store.LayerInfo
	if layers = rot.store.Layers(rot.replicas[0].handle, nil); len(layers) != 1 {
		t.Errorf("layers are %+v: the merge did not end", layers)
	}
}
