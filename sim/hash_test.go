package sim

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// TestHashNoticesOneFlippedByte flips one byte of what a step wants done, wherever
// there are bytes.
func TestHashNoticesOneFlippedByte(t *testing.T) {
	w := &World{plan: &Plan{}}
	s := &shard{body: &body{world: w}}
	hash := func(out *step.Effects) digest {
		w.hash = 0
		w.hashEffects(s, out)
		return w.hash
	}
	buffer := func() block.Buffer { return block.Heap{}.Get(4096) }
	for name, make := range map[string]func() (*step.Effects, block.Buffer){
		"message": func() (*step.Effects, block.Buffer) {
			b := buffer()
			return &step.Effects{Sends: []step.Send{{Message: message.Message{Kind: message.Append, Payload: b}}}}, b
		},
		"disk write": func() (*step.Effects, block.Buffer) {
			b := buffer()
			return &step.Effects{Disk: []step.DiskOp{{Kind: step.DiskWrite, Pieces: []block.Buffer{buffer(), b}}}}, b
		},
		"answer to a client": func() (*step.Effects, block.Buffer) {
			b := buffer()
			return &step.Effects{Completions: []step.Completion{{ID: 1, Payload: b}}}, b
		},
	} {
		out, data := make()
		before := hash(out)
		for _, at := range []int{0, 1000, 4095} {
			data.Bytes()[at] ^= 1
			if hash(out) == before {
				t.Errorf("byte %d of a %s does not count", at, name)
			}
			data.Bytes()[at] ^= 1
		}
		if hash(out) != before {
			t.Errorf("the hash of a %s depends on something else", name)
		}
	}
}

func TestRunInUsedMemoryIsTheSame(t *testing.T) {
	used := Options{Memory: &Memory{}}
	for seed := uint64(1); seed <= 5; seed++ {
		p := NewPlan(seed, Swarm)
		if seed == 3 { // one that fails between them
			failing := Canary(nil).Plan
			if Run(failing, used).Violation == nil {
				t.Fatal("the canary lives")
			}
		}
		if a, b := Run(p, Options{}), Run(p, used); a.Hash != b.Hash || b.Violation != nil {
			t.Errorf("seed %d: hashes %x and %x, %v", seed, a.Hash, b.Hash, b.Violation)
		}
	}
}

func TestHashNoticesOneFlippedByteOfADiskAtTheEnd(t *testing.T) {
	ends := func(flip bool) uint64 {
		w := newWorld(NewPlan(1, Quiet), Options{}, coreMachines())
		w.boot()
		w.run(int64(w.plan.Safety), nil)
		if flip {
			w.bodies[0].drives[0].device.Rot(4096, 0)
		}
		return w.report().Hash
	}
	whole, again, flipped := ends(false), ends(false), ends(true)
	if whole != again {
		t.Fatal("two equal runs end differently")
	}
	if whole == flipped {
		t.Error("a bit that flipped on a disk does not count")
	}
}
