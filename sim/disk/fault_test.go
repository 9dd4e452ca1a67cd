package disk_test

import (
	"bytes"
	"testing"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/sim/disk"
)

func TestFailedSync(t *testing.T) {
	for _, c := range []struct {
		fault            disk.Kind
		cached, survives byte // after the failed sync; after another sync and a power loss
	}{{disk.SyncFails, 2, 2}, {disk.SyncSwallows, 2, 1}, {disk.SyncDrops, 1, 1}} {
		t.Run(c.fault.String(), func(t *testing.T) {
			d := disk.New(disk.Params{Size: diskSize, Seed: 1, Faults: disk.Faults{Plan: []disk.Planned{{Op: 4, Fault: c.fault}}}})
			write(d, 0, 4096, 1)
			sync(d)
			write(d, 0, 4096, 2)
			if err := sync(d); err != step.DiskEIO {
				t.Fatalf("planned failure of a sync: got %d", err)
			}
			contentIs(t, d, 0, 4096, c.cached)
			if err := sync(d); err != step.DiskOK {
				t.Fatalf("the sync after the failed one: got %d", err)
			}
			d.PowerLoss(disk.LoseAll)
			contentIs(t, d, 0, 4096, c.survives)
		})
	}
}

func TestRewritingAfterASwallowedSyncIsMadeDurableByTheNext(t *testing.T) {
	d := disk.New(disk.Params{Size: diskSize, Seed: 1, Faults: disk.Faults{Plan: []disk.Planned{{Op: 2, Fault: disk.SyncSwallows}}}})
	write(d, 0, 4096, 2)
	sync(d)
	write(d, 0, 4096, 2)
	sync(d)
	d.PowerLoss(disk.LoseAll)
	contentIs(t, d, 0, 4096, 2)
}

func TestFaultsOfSingleOperations(t *testing.T) {
	plan := func(op uint64, k disk.Kind) *disk.Disk {
		d := disk.New(disk.Params{Size: diskSize, Seed: 3, Sector: 512, Faults: disk.Faults{Plan: []disk.Planned{{Op: op, Fault: k}}}})
		write(d, 0, 65536, 1)
		return d
	}
	t.Run("read error passes", func(t *testing.T) {
		d := plan(2, disk.ReadError)
		if _, err := read(d, 0, 4096); err != step.DiskEIO {
			t.Fatalf("got %d", err)
		}
		contentIs(t, d, 0, 4096, 1)
	})
	t.Run("latent error stays until written", func(t *testing.T) {
		d := plan(2, disk.LatentError)
		_, _ = read(d, 0, 512)
		if _, err := read(d, 0, 4096); err != step.DiskEIO {
			t.Fatalf("got %d", err)
		}
		contentIs(t, d, 512, 4096, 1)
		write(d, 0, 64, 2)
		contentIs(t, d, 0, 64, 2)
		if rest, err := read(d, 64, 448); err != step.DiskOK || bytes.Contains(rest, []byte{1}) {
			t.Fatalf("the rest of the sector: error %d, or as it was", err)
		}
		write(d, 64, 448, 2)
		contentIs(t, d, 0, 512, 2)
	})
	t.Run("bit rot is silent and stays", func(t *testing.T) {
		d := plan(2, disk.BitRot)
		got, err := read(d, 0, 4096)
		again, _ := read(d, 0, 4096)
		if err != step.DiskOK || bytes.Count(got, []byte{1}) != 4095 || !bytes.Equal(got, again) {
			t.Fatalf("error %d, %d of 4096 bytes as written", err, bytes.Count(got, []byte{1}))
		}
		if i := d.Incidents()[0]; !d.Touched(i.Offset, 1) || got[i.Offset] == 1 {
			t.Fatalf("incident %+v does not name the rotten byte", i)
		}
	})
	t.Run("misdirected read is wrong once", func(t *testing.T) {
		d := disk.New(disk.Params{Size: diskSize, Seed: 3, Faults: disk.Faults{Plan: []disk.Planned{{Op: 2, Fault: disk.MisdirectedRead}}}})
		write(d, 0, 4096, 1)
		if got, err := read(d, 0, 4096); err != step.DiskOK || got[0] == 1 {
			t.Fatalf("error %d, content %d", err, got[0])
		}
		contentIs(t, d, 0, 4096, 1)
	})
	t.Run("misdirected write lands elsewhere", func(t *testing.T) {
		d := plan(2, disk.MisdirectedWrite)
		if err := write(d, 0, 512, 2); err != step.DiskOK {
			t.Fatalf("got %d", err)
		}
		contentIs(t, d, 0, 512, 1)
		contentIs(t, d, d.Incidents()[0].Offset, 512, 2)
	})
	t.Run("failed write leaves old or new sectors", func(t *testing.T) {
		d := plan(2, disk.WriteError)
		if err := write(d, 0, 4096, 2); err != step.DiskEIO {
			t.Fatalf("got %d", err)
		}
		got, _ := read(d, 0, 4096)
		for i := 0; i < len(got); i += 512 {
			if s := got[i : i+512]; s[0] != 1 && s[0] != 2 || !bytes.Equal(s, bytes.Repeat(s[:1], 512)) {
				t.Fatalf("sector %d is neither old nor new", i/512)
			}
		}
	})
}

func TestFullDeviceRefusesNewPlacesAndServesOldOnes(t *testing.T) {
	d := disk.New(disk.Params{Size: diskSize, Seed: 1, Faults: disk.Faults{SpaceMax: 65536}})
	if err := write(d, 0, 65536, 1); err != step.DiskOK {
		t.Fatalf("write that fits: %d", err)
	}
	if err := write(d, 65536, 4096, 0); err != step.DiskEIO {
		t.Fatalf("write beyond the space: %d", err)
	}
	if err := write(d, 4096, 4096, 2); err != step.DiskOK {
		t.Fatalf("write of a place that exists: %d", err)
	}
	if d.Count(disk.Full) != 1 {
		t.Fatalf("full was counted %d times", d.Count(disk.Full))
	}
}

func TestSlowAndStalledOperationsTakeLonger(t *testing.T) {
	op := step.DiskOp{Kind: step.DiskSync}
	took := func(f disk.Faults) (sum int64) {
		d := disk.New(disk.Params{Size: diskSize, Seed: 5, Faults: f})
		for range 100 {
			h, after := d.Submit(&op)
			d.Complete(h)
			sum += int64(after)
		}
		return sum
	}
	usual := took(disk.Faults{})
	if slow := took(disk.Faults{Slow: 10}); slow != 10*usual {
		t.Errorf("a disk 10 times as slow took %d, usual %d", slow, usual)
	}
	plan := disk.Faults{Plan: []disk.Planned{{Op: 7, Fault: disk.Stall}}, StallTime: 1000_000_000_000}
	if stalled := took(plan); stalled != usual+1000_000_000_000 {
		t.Errorf("one stalled operation of 1000 s: took %d more", stalled-usual)
	}
}
