package disk_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/sim/disk"
	"github.com/lagan-storage/lagan/sim/disk/disktest"
)

const diskSize = 1 << 20

func buffer(n int, fill byte) block.Buffer {
	b := block.Heap{}.Get(n)
	copy(b.Bytes(), bytes.Repeat([]byte{fill}, n))
	return b
}

func do(d *disk.Disk, op step.DiskOp) step.DiskError {
	h, _ := d.Submit(&op)
	return d.Complete(h)
}

func write(d *disk.Disk, at int64, n int, fill byte) step.DiskError {
	return do(d, step.DiskOp{Kind: step.DiskWrite, Offset: at, Pieces: []block.Buffer{buffer(n, fill)}})
}

func submit(d *disk.Disk, at int64, n int, fill byte) disk.Handle {
	h, _ := d.Submit(&step.DiskOp{Kind: step.DiskWrite, Offset: at, Pieces: []block.Buffer{buffer(n, fill)}})
	return h
}

func sync(d *disk.Disk) step.DiskError { return do(d, step.DiskOp{Kind: step.DiskSync}) }

func read(d *disk.Disk, at int64, n int) ([]byte, step.DiskError) {
	b := buffer(n, 0xee)
	err := do(d, step.DiskOp{Kind: step.DiskRead, Offset: at, Pieces: []block.Buffer{b}})
	return b.Bytes(), err
}

func contentIs(t *testing.T, d *disk.Disk, at int64, n int, fill byte) {
	t.Helper()
	got, err := read(d, at, n)
	if err != step.DiskOK || !bytes.Equal(got, bytes.Repeat([]byte{fill}, n)) {
		t.Fatalf("read at %d: error %d, first byte %#x, want %d bytes of %#x", at, err, got[0], n, fill)
	}
}

// simulated lets the contract suite drive a simulated disk.
type simulated struct {
	d       *disk.Disk
	pending []pending
	random  *rand.Rand
}

type pending struct {
	handle disk.Handle
	tag    step.Tag
}

func (s *simulated) Pool() block.Pool { return block.Heap{} }
func (s *simulated) Size() int64      { return s.d.Size() }
func (s *simulated) Submit(op step.DiskOp) {
	h, _ := s.d.Submit(&op)
	s.pending = append(s.pending, pending{h, op.Tag})
}

func (s *simulated) Wait() (step.Tag, step.DiskError) {
	i := s.random.IntN(len(s.pending))
	p := s.pending[i]
	s.pending = append(s.pending[:i], s.pending[i+1:]...)
	return p.tag, s.d.Complete(p.handle)
}

func (s *simulated) Reopen() { s.d.PowerLoss(disk.LoseAll) }

func TestSimulatedDiskKeepsTheContractOfDisks(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		t.Run(fmt.Sprintf("sector=%d", sector), func(t *testing.T) {
			disktest.Run(t, func(_ *testing.T, size int64) disktest.Disk {
				return &simulated{
					d:      disk.New(disk.Params{Size: size, Seed: 7, Sector: sector}),
					random: rand.New(rand.NewPCG(1, 2)),
				}
			})
		})
	}
}

func TestSyncCoversOnlyWritesCompletedBeforeItWasSubmitted(t *testing.T) {
	for seed := range uint64(50) {
		d := disk.New(disk.Params{Size: diskSize, Seed: seed})
		write(d, 0, 4096, 1)
		late := submit(d, 8192, 4096, 2) // in flight while the sync is submitted
		h, _ := d.Submit(&step.DiskOp{Kind: step.DiskSync})
		d.Complete(late)
		d.Complete(h)
		d.PowerLoss(disk.LoseAll)
		contentIs(t, d, 0, 4096, 1)
		contentIs(t, d, 8192, 4096, 0)
	}
}

func TestSyncMakesTheOlderVersionsOfASectorUnreachable(t *testing.T) {
	for seed := range uint64(50) { // in one of eight the first write is in the cache at once
		d := disk.New(disk.Params{Size: diskSize, Seed: seed, Sector: 512})
		submit(d, 0, 512, 1) // not covered by the sync, but older than what is
		write(d, 0, 512, 2)
		sync(d)
		write(d, 0, 512, 3)
		d.PowerLoss(disk.LoseAll)
		contentIs(t, d, 0, 512, 2)
	}
}

func TestPowerLossChoosesAnyVersionOfEachSector(t *testing.T) {
	seen := map[[2]byte]bool{}
	for seed := range uint64(200) {
		d := disk.New(disk.Params{Size: diskSize, Seed: seed, Sector: 512})
		write(d, 0, 1024, 1)
		sync(d)
		write(d, 0, 1024, 2)
		write(d, 0, 1024, 3)
		d.PowerLoss(disk.LoseSectors)
		got, _ := read(d, 0, 1024)
		for _, half := range [][]byte{got[:512], got[512:]} {
			if !bytes.Equal(half, bytes.Repeat(half[:1], 512)) {
				t.Fatalf("seed %d: a sector is torn", seed)
			}
		}
		seen[[2]byte{got[0], got[512]}] = true
	}
	if len(seen) != 9 {
		t.Fatalf("combinations seen: %v, want every pair of versions 1 to 3", seen)
	}
}

func TestPowerLossOfOneOrAllButOneConcernsOneSector(t *testing.T) {
	for seed := range uint64(40) {
		for _, l := range []disk.Loss{disk.LoseOne, disk.KeepOne} {
			d := disk.New(disk.Params{Size: diskSize, Seed: seed, Sector: 512})
			write(d, 0, 8*512, 1)
			d.PowerLoss(l)
			got, _ := read(d, 0, 8*512)
			ones := bytes.Count(got, []byte{1}) / 512
			if l == disk.LoseOne && ones != 7 || l == disk.KeepOne && ones != 1 {
				t.Fatalf("seed %d, %v: %d of 8 sectors kept", seed, l, ones)
			}
		}
	}
}

func TestPartialSectorWriteNeverLosesItsNeighbour(t *testing.T) {
	for seed := range uint64(100) {
		d := disk.New(disk.Params{Size: diskSize, Seed: seed, Sector: 512})
		write(d, 0, 64, 1)
		sync(d)
		write(d, 64, 64, 2)
		write(d, 128, 64, 3)
		d.PowerLoss(disk.LossDrawn)
		contentIs(t, d, 0, 64, 1)
		second, _ := read(d, 64, 64)
		third, _ := read(d, 128, 64)
		if second[0] == 0 && third[0] == 3 {
			t.Fatalf("seed %d: a sector holds a newer write but not an older one", seed)
		}
	}
}

func TestKillKeepsCompletedWritesAndTearsThoseInFlight(t *testing.T) {
	torn, whole, none := 0, 0, 0
	for seed := range uint64(200) {
		d := disk.New(disk.Params{Size: diskSize, Seed: seed, Sector: 512})
		write(d, 65536, 4096, 9)
		submit(d, 0, 4096, 1)
		d.Kill()
		contentIs(t, d, 65536, 4096, 9)
		got, _ := read(d, 0, 4096)
		switch bytes.Count(got, []byte{1}) {
		case 0:
			none++
		case 4096:
			whole++
		default:
			torn++
		}
		d.PowerLoss(disk.LoseAll)
		contentIs(t, d, 65536, 4096, 0)
	}
	if torn < 20 || whole < 20 || none < 20 {
		t.Fatalf("in-flight writes: %d torn, %d whole, %d lost: want a good share of each", torn, whole, none)
	}
}

func TestSyncAfterKillMakesWhatTheDeadProcessWroteDurable(t *testing.T) {
	d := disk.New(disk.Params{Size: diskSize, Seed: 1})
	write(d, 0, 4096, 1)
	d.Kill()
	sync(d)
	d.PowerLoss(disk.LoseAll)
	contentIs(t, d, 0, 4096, 1)
}

func TestRestoreBringsBackTheDurableContentOfTheSnapshot(t *testing.T) {
	d := disk.New(disk.Params{Size: diskSize, Seed: 1})
	write(d, 0, 4096, 1)
	sync(d)
	hash := d.Hash()
	write(d, 0, 4096, 2)
	image := d.Snapshot()
	contentIs(t, d, 0, 4096, 2)
	write(d, 0, 8192, 3)
	sync(d)
	if image.Hash() != hash {
		t.Fatal("the image is not the durable content, or changed")
	}
	d.Restore(image)
	contentIs(t, d, 0, 4096, 1)
	write(d, 0, 4096, 4)
	if image.Hash() != hash {
		t.Fatal("writing to the disk changed the image")
	}
}

func TestCloneGoesItsOwnWay(t *testing.T) {
	d := disk.New(disk.Params{Size: diskSize, Seed: 1})
	write(d, 0, 4096, 1)
	sync(d)
	write(d, 0, 4096, 2)
	submit(d, 4096, 4096, 5)
	c := d.Clone(9)
	c.PowerLoss(disk.LoseAll)
	contentIs(t, c, 0, 8192/2, 1)
	contentIs(t, d, 0, 4096, 2)
	write(d, 0, 4096, 3)
	contentIs(t, c, 0, 4096, 1)
	if d.InFlight() != 1 || c.InFlight() != 0 {
		t.Fatalf("in flight: %d and %d", d.InFlight(), c.InFlight())
	}
}

func TestShadowIsTheDiskAsItIsAndChangesNothing(t *testing.T) {
	d := disk.New(disk.Params{Size: diskSize, Seed: 1})
	write(d, 0, 4096, 1)
	sync(d)
	write(d, 0, 4096, 2)
	submit(d, 4096, 4096, 5)
	for _, fill := range []byte{7, 8} { // the second one in the memory of the first
		s := d.Shadow(9)
		if s.Hash() != d.Hash() || s.Unsynced() != d.Unsynced() || s.InFlight() != 1 {
			t.Fatal("the shadow is not what the disk is")
		}
		s.PowerLoss(disk.LoseAll)
		contentIs(t, s, 0, 4096, 1)
		write(s, 0, 4096, fill)
		write(s, 65536, 4096, fill)
	}
	contentIs(t, d, 0, 4096, 2)
	contentIs(t, d, 65536, 4096, 0)
	if d.InFlight() != 1 {
		t.Fatalf("in flight: %d", d.InFlight())
	}
}

func TestDiskInUsedMemoryIsEmpty(t *testing.T) {
	m := &disk.Memory{}
	old := disk.New(disk.Params{Size: diskSize, Seed: 1, Memory: m})
	write(old, 0, diskSize, 0xff)
	old.Spoil(0)
	image := old.Snapshot()
	write(old, 0, 4096, 0xee)
	write(old.Shadow(3), 8192, 4096, 0xdd)
	kept := image.Hash()
	old.Retire()
	fresh, used := disk.New(disk.Params{Size: diskSize, Seed: 2}), disk.New(disk.Params{Size: diskSize, Seed: 2, Memory: m})
	for _, d := range []*disk.Disk{fresh, used} {
		write(d, 64, 64, 3)
		write(d, 40960, 64, 4)
	}
	if used.Hash() != fresh.Hash() || used.Unsynced() != fresh.Unsynced() || image.Hash() != kept {
		t.Error("what a disk left behind shows")
	}
}

func TestHashDependsOnContentAlone(t *testing.T) {
	a, b := disk.New(disk.Params{Size: diskSize, Seed: 1}), disk.New(disk.Params{Size: diskSize, Seed: 2})
	write(a, 0, 4096, 1)
	write(a, 8192, 4096, 2)
	write(b, 8192, 4096, 2)
	write(b, 500*1024, 4096, 7)
	write(b, 500*1024, 4096, 0)
	write(b, 0, 4096, 1)
	if a.Hash() != b.Hash() {
		t.Fatal("equal content, other hash")
	}
	before := a.Hash()
	a.Rot(8192+77, 3)
	if a.Hash() == before {
		t.Fatal("a flipped bit left the hash as it was")
	}
	a.Rot(8192+77, 3)
	if a.Hash() != before {
		t.Fatal("the bit flipped back, but the hash did not")
	}
}

// history runs random operations, faults and crashes, and returns what was seen.
func history(seed uint64, rates [disk.KindCount]disk.Rate) (sum uint64) {
	d := disk.New(disk.Params{Size: diskSize, Seed: seed, Faults: disk.Faults{Rates: rates}})
	r := rand.New(rand.NewPCG(seed, 0))
	var flight []disk.Handle
	for i := range 2000 {
		switch r.IntN(12) {
		case 0:
			h, _ := d.Submit(&step.DiskOp{Kind: step.DiskSync})
			flight = append(flight, h)
		case 1, 2, 3, 4:
			flight = append(flight, submit(d, int64(r.IntN(200))*4096, 4096*(1+r.IntN(5)), byte(i)))
		case 5:
			b, err := read(d, int64(r.IntN(200))*4096, 8192)
			sum = sum*31 + uint64(b[0]) + uint64(err)
		case 6:
			if r.IntN(20) == 0 {
				d.Kill()
				flight = nil
			}
		case 7:
			if r.IntN(20) == 0 {
				sum += uint64(d.PowerLoss(disk.LossDrawn))
				flight = nil
			}
		default:
			if len(flight) > 0 {
				k := r.IntN(len(flight))
				sum = sum*31 + uint64(d.Complete(flight[k]))
				flight = append(flight[:k], flight[k+1:]...)
			}
		}
	}
	return sum ^ d.Hash()
}

func TestSameSeedGivesTheSameDisk(t *testing.T) {
	var rates [disk.KindCount]disk.Rate
	for k := disk.ReadError; k < disk.Full; k++ {
		rates[k] = 40
	}
	if a, b := history(1, rates), history(1, rates); a != b {
		t.Fatalf("one seed, two histories: %x %x", a, b)
	}
	if history(1, rates) == history(2, rates) {
		t.Fatal("two seeds, one history")
	}
}

func BenchmarkJournalBatchAndSync(b *testing.B) {
	for _, c := range []struct{ header, data int }{{64, 64}, {4096, 16 * 4096}} {
		b.Run(fmt.Sprintf("bytes=%d", c.header+c.data), func(b *testing.B) {
			d := disk.New(disk.Params{Size: 64 << 20, Seed: 1})
			op := step.DiskOp{Kind: step.DiskWrite, Pieces: []block.Buffer{buffer(c.header, 1), buffer(c.data, 2)}}
			b.ReportAllocs()
			b.SetBytes(int64(c.header + c.data))
			for i := range b.N {
				op.Offset = int64(i%512) * int64(c.header+c.data)
				do(d, op)
				if i%4 == 3 {
					sync(d)
				}
			}
		})
	}
}
