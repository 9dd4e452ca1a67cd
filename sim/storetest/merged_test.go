package storetest

import (
	"fmt"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/sim/fsck"
)

// snapshotAtHome makes a replica with a snapshot that has chunk 0, in a root, and another replica.
func snapshotAtHome() []Line {
	return lines([]Line{{Create, 0, 0, 32}, {Write, 0, 0, 16}, {Snap, 0, 0, 0}}, solid(0), []Line{{Idle, 0, 0, 62}, {Create, 1, 0, 32}})
}

// sealed makes what is stable ready to go home.
func sealed(slot int) []Line {
	return lines([]Line{{Nop, slot, 0, 0}}, solid(slot), []Line{{Nop, slot, 0, 0}}, solid(slot))
}

// traffic keeps the store going, one event at a time.
func traffic(slot int) (script []Line) {
	for i := range uint64(6) {
		script = append(script, Line{Write, slot, i, 1}, Line{Run, slot, 0, 1})
	}
	return append(script, Line{Drain, slot, 0, 0})
}

// What takes away a replica, or what it has, is accepted before it is durable. Until then
// a loss of power brings back the layers that it needs: they are not merged.
func TestRule19WhatADeletionFreesStaysAsItIsUntilThatIsSealed(t *testing.T) {
	t.Parallel()
	second := lines(snapshotAtHome(), []Line{{Write, 0, 3, 4}, {Snap, 0, 0, 0}}, solid(0), sealed(0)) // it is not at home yet
	for name, script := range map[string][]Line{                                                      // any order: each is played alone
		"a replica is deleted": lines(second, []Line{{Verb: Delete}}, traffic(1)),
		"a replica is reset": lines(second, []Line{
			{Write, 1, 0, 1}, {Run, 0, 0, 1}, {Write, 1, 1, 1}, {Read, 1, 0, 16}, {Read, 0, 0, 16}, {Verb: Reset},
		}, traffic(1)),
		"a clone would have it for itself": lines(snapshotAtHome(), []Line{{Clone, 0, 2, 1}, {DelSnap, 0, 0, 1}}, solid(0), sealed(0),
			durableWrite(1, 0, 1), durableWrite(1, 0, 1), durableWrite(1, 0, 1), // much in the ring: what is ripe goes home
			durableWrite(2, 3, 4), []Line{{Nop, 2, 0, 0}, {Sync, 2, 0, 0}, {Run, 2, 0, 1}, {Verb: Delete}}, traffic(1)),
	} {
		t.Run(name, func(t *testing.T) { everywhere(t, script...) })
	}
}

// A clone waits in its own line for the journal, and what empties its origin in another.
func TestRule19CloneIsRecordedBeforeWhatEmptiesItsOrigin(t *testing.T) {
	t.Parallel()
	for _, end := range []Verb{Reset, Delete} {
		everywhere(t, lines(snapshotAtHome(), []Line{
			{Write, 0, 3, 1}, {Write, 0, 4, 1}, {Clone, 0, 2, 1}, {end, 0, 0, 0}, {Write, 2, 5, 1}, {Drain, 0, 0, 0}, {Read, 2, 0, 16},
		}, solid(2), []Line{{Idle, 0, 0, 31}, {Read, 2, 0, 16}})...)
	}
}

// The journal says which blocks of the root may have new content, and fsck compares all others.
func TestFsckComparesAllThatTheJournalDoesNotReplace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct { // any order: each is played alone
		script []Line
		spared string // blocks of layers whose damage is not found
	}{
		"written above a snapshot": {
			lines([]Line{{Create, 0, 0, 16}, {Write, 0, 0, 16}}, solid(0), []Line{{Idle, 0, 0, 62}, {Snap, 0, 0, 0}, {Write, 0, 3, 2}}, solid(0)),
			"",
		},
		"merged with a snapshot that the root has not": {
			lines([]Line{{Create, 0, 0, 16}, {Write, 0, 0, 16}}, solid(0), []Line{{Idle, 0, 0, 62}, {Snap, 0, 0, 0}, {Write, 0, 3, 2}, {DelSnap, 0, 0, 1}}, solid(0)),
			"1/3 1/4 ",
		},
		"merged with what a deleted replica had": {
			lines(snapshotAtHome(), []Line{{Write, 0, 3, 2}, {Snap, 0, 0, 0}}, solid(0), sealed(0), []Line{{Verb: Delete}}, traffic(1)),
			"1/3 1/4 ",
		},
	} {
		m := play(t, small(1), lines(c.script, []Line{{Idle, 0, 0, 3}, {Verb: PowerCut}})...)
		spared := ""
		im, err := fsck.Open(fsck.Durable(m.disk))
		if err != nil {
			t.Fatal(err)
		}
		compared := 0
		_, _ = im.Contents(func(l *format.Layer, chunk block.Chunk, d *format.Descriptor) {
			for b := range block.PerChunk {
				if chunk != 0 || l.Freed || d.State(b) != format.Present {
					continue
				}
				compared++
				f, at, data := m.fork(1), im.SlotAt(d.Slot)+int64(b*blockSize), make([]byte, blockSize)
				f.disk.Peek(at, data)
				data[9] ^= 1
				raw(t, f, step.DiskWrite, at, data)
				if raw(t, f, step.DiskSync, 0, nil); fsck.CheckAll(f.disk) == nil {
					spared += fmt.Sprintf("%d/%d ", l.Number, b)
				}
			}
		})
		if spared != c.spared || compared == 0 {
			t.Errorf("%s: damage is not found in %q of %d blocks, want %q", name, spared, compared, c.spared)
		}
	}
}

// A store that dies while it merges brings the same blocks home to another slot after
// its restart: what it wrote below them before is read by nobody, and no damage.
func TestFsckSparesWhatNobodyReadsOfALayerThatIsMerged(t *testing.T) {
	t.Parallel()
	fill := lines([]Line{{Write, 1, 0, 1}, {Drain, 1, 0, 0}}, []Line{{Write, 1, 0, 1}, {Drain, 1, 0, 0}}, []Line{{Write, 1, 0, 1}, {Drain, 1, 0, 0}})
	everywhere(t, lines(snapshotAtHome(), fill, []Line{{DelSnap, 0, 0, 1}}, durableWrite(0, 3, 4), sealed(0), traffic(1))...)
}
