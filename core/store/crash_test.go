package store

import (
	"math/rand/v2"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// crashTrace is a short trace that passes every kind of record and a
// checkpoint. It stops, and reports false, once the disk has done limit
// operations.
func (o *oracle) crashTrace(limit int) (finished bool) {
	done := 0
	run := func() bool {
		for {
			if done == limit {
				return false
			}
			if !o.step() {
				o.results()
				return true
			}
			done++
			o.results()
		}
	}
	a := o.models[0]
	for i := range 12 {
		o.append(a)
		if i%4 == 3 && !run() {
			return false
		}
	}
	o.sync(a.h)
	if !run() {
		return false
	}
	a.stable = a.durable
	o.stable(a.h, a.stable)
	for range 6 {
		o.append(a)
	}
	if !run() {
		return false
	}
	o.store.ckpt.wanted = true
	o.append(a)
	if !run() {
		return false
	}
	for range 4 {
		o.append(a)
	}
	o.sync(a.h)
	return run()
}

func TestCrashAtEveryDiskOperation(t *testing.T) {
	crashes := 0
	for seed := range uint64(2) {
		for limit := 0; ; limit++ {
			if limit > 5000 {
				t.Fatal("the trace never ends")
			}
			o := &oracle{rig: newRig(t, seed, small())}
			o.random = rand.New(rand.NewPCG(seed, 5))
			m := &model{blocks: 256, era: 1, meta: Meta{Complete: true}}
			m.h = o.create(1, m.blocks)
			o.models = []*model{m}
			finished := o.crashTrace(limit)
			o.random = rand.New(rand.NewPCG(seed, uint64(limit)))
			o.crash(limit%3 > 0)
			// It goes on where it was.
			for range 3 {
				o.append(m)
			}
			o.sync(m.h)
			o.settle()
			o.results()
			o.check()
			o.verify(m, block.Seq(len(m.records)))
			o.crash(true)
			crashes++
			if finished {
				break
			}
		}
	}
	t.Logf("%d crashes", crashes)
}

func TestCrashDuringRecoveryLosesNothing(t *testing.T) {
	for seed := range uint64(2) {
		for limit := 0; ; limit++ {
			o := &oracle{rig: newRig(t, seed, small())}
			o.random = rand.New(rand.NewPCG(seed, 6))
			m := &model{blocks: 256, era: 1, meta: Meta{Complete: true}}
			m.h = o.create(1, m.blocks)
			o.models = []*model{m}
			for range 10 {
				o.append(m)
				o.settle()
			}
			o.sync(m.h)
			o.settle()
			o.results()
			o.fresh()
			o.store.Open(o.now, int64(len(o.disk.data)), &o.out)
			ended := false
			for n := 0; n < limit && !ended; n++ {
				ended = !o.step()
			}
			o.random = rand.New(rand.NewPCG(seed, uint64(limit)))
			o.disk.powerLoss(o.random)
			o.models = nil
			o.crash(true)
			o.models = []*model{m}
			info, _ := o.store.Info(m.h)
			if info.LastAccepted.Seq != m.durable || info.Damaged {
				t.Fatalf("seed %d, crash after %d operations of recovery: %+v, durable was %d", seed, limit, info, m.durable)
			}
			o.verify(m, m.durable)
			if ended {
				break
			}
		}
	}
}

func TestThrottleLetsEverythingThroughWithoutStable(t *testing.T) {
	r := newRig(t, 1, small())
	h := r.create(1, 4096)
	const n = 1500 // several times the ring
	for i := 1; i <= n; i++ {
		if st := r.write(h, pos(1, i), blockAt(uint64(i*5%4096)), 1); st != message.OK {
			t.Fatalf("append %d: status %d", i, st)
		}
		if i%50 == 0 {
			r.sync(h)
			r.settle()
			r.stable(h, r.store.replica(h).durable)
		}
	}
	r.settle()
	if last := r.store.replica(h).last; last.Seq != n {
		t.Fatalf("accepted %d of %d", last.Seq, n)
	}
	if r.marks["store: journal full"] == 0 && r.marks["store: checkpoint"] == 0 {
		t.Fatal("the ring was never full")
	}
}
