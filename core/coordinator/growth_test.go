package coordinator_test

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// wantsBlocks has the specification ask for a size.
func (w *world) wantsBlocks(blocks uint64) {
	w.step(step.Event{Kind: step.EventControl, Control: step.Control{Kind: step.SizeChanged, Blocks: blocks}})
}

// told is how many blocks the volume has, as the session said last.
func (w *world) told() (blocks uint64) {
	for i := range w.controls {
		if c := &w.controls[i]; c.Kind == step.VolumeServing || c.Kind == step.VolumeGrown {
			blocks = c.Blocks
		}
	}
	return blocks
}

func (w *world) expectTold(blocks uint64) {
	w.t.Helper()
	if got := w.told(); got != blocks {
		w.t.Fatalf("it said that the volume has %d blocks, want %d", got, blocks)
	}
}

func (m *fakeMember) sizes() (list []uint64) {
	for _, r := range m.log {
		if r.Op == message.OpResize {
			list = append(list, r.Blocks)
		}
	}
	return list
}

func TestVolumeHasGrownWhenThatIsDurableOnEveryMember(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.expectTold(1024)
	w.members[1].noAck = true
	w.wantsBlocks(2048)
	if w.config.Blocks != 2048 || w.config.FirstBlocks != 1024 {
		t.Fatalf("recorded are %d blocks, before that %d", w.config.Blocks, w.config.FirstBlocks)
	}
	w.expectTold(1024)
	w.members[1].noAck = false
	w.write(1, 5)
	w.pass(2 * time.Second)
	w.expectTold(2048)
	w.write(2, 2047)
	w.expectAnswer(2, step.RequestOK)
	w.wantsBlocks(1500) // an older wish
	w.wantsSnapshot(77)
	w.pass(2 * time.Second)
	if s := w.expectSnapshot(77, volume.SnapshotReady); s.Blocks != 2048 {
		t.Errorf("the snapshot has %d blocks", s.Blocks)
	}
	for _, m := range w.members {
		if list := m.sizes(); len(list) != 1 || list[0] != 2048 {
			t.Errorf("a member was sent the sizes %d", list)
		}
	}
	w.wantsBlocks(4096)
	w.pass(2 * time.Second)
	if w.expectTold(4096); w.config.FirstBlocks != 1024 {
		t.Errorf("it began with %d blocks", w.config.FirstBlocks)
	}
}

func TestTakeoverGrowsAVolumeThatIsSmallerThanRecorded(t *testing.T) {
	for name, has := range map[string]uint64{"as it began": 1024, "on the way": 2048} { // any order: each is tried alone
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			w.config.Blocks, w.config.FirstBlocks = 4096, 1024
			for _, m := range w.members {
				m.blocks = has
			}
			w.c = w.newCoordinator(1)
			w.start()
			for i := range w.controls {
				if c := &w.controls[i]; c.Kind == step.VolumeServing && c.Blocks != has {
					t.Errorf("it serves %d blocks", c.Blocks)
				}
			}
			w.pass(2 * time.Second)
			w.expectTold(4096)
			if list := w.members[1].sizes(); len(list) != 1 || list[0] != 4096 {
				t.Errorf("a member was sent the sizes %d", list)
			}
			w.c = w.newCoordinator(2) // nothing is left to do
			w.start()
			w.expectTold(4096)
			if list := w.members[1].sizes(); len(list) != 1 {
				t.Errorf("a member was sent the sizes %d", list)
			}
		})
	}
}

func TestGrowthForWhichNobodyHasRoomIsTriedAgain(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	for _, m := range w.members {
		m.noRoomFor = message.OpResize
	}
	w.wantsBlocks(2048)
	w.pass(2 * time.Second)
	w.expectTold(1024)
	for i := range w.members {
		w.expectState(i, volume.InSync)
	}
	w.write(1, 1023)
	w.expectAnswer(1, step.RequestOK)
	for _, m := range w.members {
		m.noRoomFor = message.OpInvalid
	}
	w.pass(5 * time.Second)
	w.expectTold(2048)
	if list := w.members[0].sizes(); len(list) != 1 {
		t.Errorf("a member was sent the sizes %d", list)
	}
}

// A member that is filled while the volume grows is given the size beside its stream,
// before it is given anything of the new part.
func TestMemberThatIsFilledIsGivenTheSize(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.members[1].down = true
	w.restart(w.members[1], block.Position{})
	w.pass(2 * time.Second)
	w.expectState(1, volume.Out)
	w.wantsBlocks(2048)
	w.pass(2 * time.Second)
	w.expectTold(2048)
	w.members[1].down = false
	w.pass(3 * time.Second)
	w.write(1, 2047)
	w.pass(2 * time.Second)
	w.expectState(1, volume.InSync)
	if got := w.members[1].given; len(got) != 2 || got[0].Blocks != 1024 || got[1].Blocks != 2048 {
		t.Errorf("it was given %+v", got)
	}
}
