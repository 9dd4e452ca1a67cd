package storetest

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/sim/fsck"
)

// inOrder is a machine with chunks at home, in the journal and in a snapshot.
func inOrder(t *testing.T) *Machine {
	c := small(21)
	c.Marks = map[step.Mark]int{}
	m := play(t, c, lines([]Line{{Create, 0, 0, 128}}, durableWrite(0, 0, 16), durableWrite(0, 20, 5), durableWrite(0, 64, 16),
		[]Line{{Snap, 0, 0, 0}, {Sync, 0, 0, 0}, {Drain, 0, 0, 0}, {Stable, 0, 0, 0}}, durableWrite(0, 2, 3),
		[]Line{{Idle, 0, 0, 62}}, durableWrite(0, 40, 3))...)
	healthy(t, m)
	return m
}

// scrubbed has a machine scrub to the end.
func scrubbed(t *testing.T, m *Machine) *Machine {
	t.Helper()
	over := m.scrub.over
	m.Scrub(scrubTurn)
	if m.Drain(); m.scrub.over != over+1 {
		t.Fatalf("the scrub did not come to its end: at %+v\n%s", m.scrub.at, m.Trace())
	}
	return m
}

const anew = "store: metadata that has rotted written anew"

func TestScrubOfAWholeDiskFindsNothing(t *testing.T) {
	t.Parallel()
	m := scrubbed(t, inOrder(t))
	healthy(t, m)
	if m.config.Marks[anew] != 0 {
		t.Error("it had metadata written anew")
	}
}

func TestScrubFindsEveryLostBlockAndNoOther(t *testing.T) {
	t.Parallel()
	m := inOrder(t)
	found := 0
	data := make([]byte, blockSize)
	for at := int64(homeAt); at+blockSize <= capacity; at += blockSize {
		raw(t, m, diskRead, at, data)
		for b := block.Block(0); b < 128; b++ {
			if s, ok := stampOf(m.replicas[0].pattern, b, data); !ok || s == 0 {
				continue
			}
			f := damagedBy(t, m, func(f *Machine) { f.disk.Rot(at+7, 1) })
			lost := m.config.Marks["store: scrub found lost blocks"]
			scrubbed(t, f)
			healthy(t, f)
			if m.config.Marks["store: scrub found lost blocks"] == lost {
				continue // freed, or covered by what is in the journal
			}
			if found++; len(f.scrub.found) != 1 || !f.scrub.found[b] {
				t.Errorf("block %d rotten at %d: found %v", b, at, f.scrub.found)
			}
		}
	}
	if found < 30 {
		t.Errorf("%d lost blocks were found, of some 40 that are at home", found)
	}
}

// Clones outlive their origin: what two of them stand on is nobody else's then, and what is
// lost of it is theirs to have repaired.
func TestScrubTellsClonesWhatTheirDeletedOriginHasLost(t *testing.T) {
	t.Parallel()
	c := small(22)
	c.Marks = map[step.Mark]int{}
	m := play(t, c, lines([]Line{{Create, 0, 0, 16}}, durableWrite(0, 0, 8), []Line{{Snap, 0, 0, 0}}, solid(0), []Line{{Idle, 0, 0, 62}},
		[]Line{{Clone, 0, 1, 1}, {Clone, 0, 2, 1}}, solid(1), solid(2), []Line{{Delete, 0, 0, 0}, {Drain, 0, 0, 0}, {Idle, 0, 0, 62}})...)
	healthy(t, m)
	origin := m.store.Layers(m.replicas[1].handle, nil)[0]
	if origin.Own || !origin.Deleted {
		t.Fatalf("the clones stand on %+v, want a layer of nobody", origin)
	}
	data := make([]byte, blockSize)
	for at := int64(homeAt); at+blockSize <= capacity; at += blockSize {
		raw(t, m, diskRead, at, data)
		if s, ok := stampOf(m.replicas[1].pattern, 3, data); ok && s != 0 {
			m.disk.Rot(at+7, 1)
		}
	}
	m.faulty = true
	scrubbed(t, m)
	healthy(t, m)
	if len(m.scrub.found) != 1 || !m.scrub.found[3] {
		t.Errorf("found %v, want block 3\n%s", m.scrub.found, m.Trace())
	}
}

// Whatever rots of the metadata while the store is open is whole again after a
// scrub and the checkpoint that it asks for: the disk is opened as if nothing had
// happened.
func TestScrubHasRottenMetadataWrittenAnew(t *testing.T) {
	t.Parallel()
	m := inOrder(t)
	rotten := map[string][]int64{"superblock": {0, superblockStride, 2 * superblockStride, 3 * superblockStride}, "page": fsck.Pages(m.disk)}
	for _, b := range fsck.Batches(m.disk) {
		for at := b.Offset; at < b.Offset+b.Length; at += 4096 {
			rotten["batch"] = append(rotten["batch"], at)
		}
	}
	for _, what := range []string{"superblock", "page", "batch"} {
		repaired := 0
		for _, at := range rotten[what] {
			f := inOrder(t)
			f.disk.Rot(at+200, 1)
			scrubbed(t, f).Idle(0)
			repaired += f.config.Marks[anew]
			scrubbed(t, f)
			f.Play([]Line{{Verb: PowerCut}, {Verb: Read, N: 16}, {Verb: Drain}})
			healthy(t, f)
		}
		if repaired == 0 && what == "page" {
			t.Errorf("no %s was written anew, of %d", what, len(rotten[what]))
		}
	}
}
