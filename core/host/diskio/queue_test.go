package diskio

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

const size = 1 << 20

// start opens a disk whose completions come out of a channel.
func start(t *testing.T, p Params) (*Queue, chan step.Event) {
	t.Helper()
	f, err := Open(filepath.Join(t.TempDir(), "disk"), size)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan step.Event, queueMax)
	if p.Deliver == nil {
		p.Deliver = func(done []step.Event, next []step.DiskOp) []step.DiskOp {
			for _, ev := range done {
				ended <- ev
			}
			return next
		}
	}
	return f.Start(p), ended
}

// page returns a buffer as direct I/O wants it.
func page(t *testing.T, fill byte) block.Buffer {
	t.Helper()
	data, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] = fill
	}
	return block.NewSlab(data, nil).Buffer(len(data))
}

func eachWay(t *testing.T, test func(t *testing.T, blocking bool)) {
	for name, blocking := range map[string]bool{"Rings": false, "Blocking": true} {
		t.Run(name, func(t *testing.T) { test(t, blocking) })
	}
}

// TestManyAtOnceEndOnceEach submits more than all rings hold, in one go, so
// that operations do not come alone.
func TestManyAtOnceEndOnceEach(t *testing.T) {
	eachWay(t, func(t *testing.T, blocking bool) {
		q, ended := start(t, Params{Blocking: blocking})
		const many = size / 4096
		var ops []step.DiskOp
		for i := range many {
			ops = append(ops, step.DiskOp{
				Kind: step.DiskWrite, Tag: step.Tag{Slot: uint32(i)}, Offset: int64(i) * 4096, Pieces: []block.Buffer{page(t, byte(i))},
			})
		}
		for _, kind := range []step.DiskKind{step.DiskWrite, step.DiskRead} {
			for i := range ops {
				ops[i].Kind = kind
				if kind == step.DiskRead {
					ops[i].Pieces = []block.Buffer{page(t, 0)}
				}
			}
			q.Submit(ops)
			seen := map[uint32]bool{}
			for range many {
				ev := <-ended
				if ev.DiskError != step.DiskOK || seen[ev.Tag.Slot] {
					t.Fatalf("operation %d ended with %v, seen before: %v", ev.Tag.Slot, ev.DiskError, seen[ev.Tag.Slot])
				}
				seen[ev.Tag.Slot] = true
			}
		}
		for i := range ops {
			if got := ops[i].Pieces[0].Bytes(); !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, 4096)) {
				t.Fatalf("page %d reads as %d", i, got[0])
			}
		}
		if err := q.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFailedWritesAreNotedBeforeTheMachineHears(t *testing.T) {
	eachWay(t, func(t *testing.T, blocking bool) {
		noted := make(chan string, 2)
		q, ended := start(t, Params{Blocking: blocking, Failed: func(path string) uint32 { noted <- path; return 7 }})
		only, err := os.Open(q.file.Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.file.Close(); err != nil {
			t.Fatal(err)
		}
		q.file.file = only
		op := step.DiskOp{Kind: step.DiskWrite, Pieces: []block.Buffer{page(t, 1)}}
		q.Submit([]step.DiskOp{op, op})
		for range 2 {
			if ev := <-ended; ev.DiskError != step.DiskEIO || ev.Taint != 7 || len(noted) == 0 {
				t.Errorf("ended with %v, taint %d, %d noted", ev.DiskError, ev.Taint, len(noted))
			}
			<-noted
		}
		if err := q.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatFollowsStaysInOrder is a journal: each write is followed by a sync,
// which is followed by the next write.
func TestWhatFollowsStaysInOrder(t *testing.T) {
	eachWay(t, func(t *testing.T, blocking bool) {
		var kinds []step.DiskKind
		over := make(chan bool)
		buffer := page(t, 1)
		const turns = 50
		q, _ := start(t, Params{Blocking: blocking, Deliver: func(done []step.Event, next []step.DiskOp) []step.DiskOp {
			for _, ev := range done { // one at a time: nothing else is under way
				kinds = append(kinds, step.DiskKind(ev.Tag.Slot))
				if len(kinds) == turns {
					close(over)
					return next
				}
				kind := step.DiskWrite + step.DiskSync - step.DiskKind(ev.Tag.Slot)
				op := step.DiskOp{Kind: kind, Tag: step.Tag{Slot: uint32(kind)}}
				if kind == step.DiskWrite {
					op.Pieces = []block.Buffer{buffer}
				}
				next = append(next, op)
			}
			return next
		}})
		q.Submit([]step.DiskOp{{Kind: step.DiskWrite, Tag: step.Tag{Slot: uint32(step.DiskWrite)}, Pieces: []block.Buffer{buffer}}})
		<-over
		if err := q.Stop(); err != nil {
			t.Error(err)
		}
		for i, k := range kinds {
			if want := []step.DiskKind{step.DiskWrite, step.DiskSync}[i%2]; k != want {
				t.Fatalf("completion %d is of a %v", i, k)
			}
		}
	})
}

func TestTransferCutShortGoesOnWhereItEnded(t *testing.T) {
	data := make([]byte, 12)
	s := ringSlot{offset: 100}
	for _, piece := range [][]byte{data[:4], data[4:8], data[8:]} {
		v := unix.Iovec{Base: &piece[0]}
		v.SetLen(len(piece))
		s.pieces = append(s.pieces, v)
	}
	for _, x := range []struct {
		n, pieces int
		first     *byte
	}{{1, 3, &data[1]}, {3, 2, &data[4]}, {6, 1, &data[10]}, {2, 0, nil}} {
		s.advance(x.n)
		if len(s.pieces) != x.pieces || x.pieces > 0 && s.pieces[0].Base != x.first {
			t.Fatalf("after %d more bytes %d pieces are left, of %d", x.n, len(s.pieces), x.pieces)
		}
	}
	if s.offset != 112 {
		t.Errorf("it ended at %d", s.offset)
	}
}

// TestErrorIsThatOfItsOperationAlone reads pages side by side, of which the disk
// has lost the last.
func TestErrorIsThatOfItsOperationAlone(t *testing.T) {
	eachWay(t, func(t *testing.T, blocking bool) {
		q, ended := start(t, Params{Blocking: blocking})
		const many, kept = size / 4096, size/4096/2 + 5
		if err := q.file.file.Truncate(kept * 4096); err != nil {
			t.Fatal(err)
		}
		var ops []step.DiskOp
		for i := range many {
			ops = append(ops, step.DiskOp{
				Kind: step.DiskRead, Tag: step.Tag{Slot: uint32(i)}, Offset: int64(i) * 4096, Pieces: []block.Buffer{page(t, 1)},
			})
		}
		q.Submit(ops)
		for range many {
			ev := <-ended
			if good := ev.Tag.Slot < kept; good != (ev.DiskError == step.DiskOK) {
				t.Errorf("page %d of %d ended with %v", ev.Tag.Slot, many, ev.DiskError)
			}
		}
		if err := q.Stop(); err != nil {
			t.Error(err)
		}
	})
}
