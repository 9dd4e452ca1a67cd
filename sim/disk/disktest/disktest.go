// Package disktest is the contract of a disk as a test suite: what a store may
// rely on. The simulated disk and the backend on real files both pass it, so
// what was shown on the one holds on the other.
package disktest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

// Disk is what the suite needs of a disk.
type Disk interface {
	// Pool gives memory that suits the disk's operations.
	Pool() block.Pool
	Size() int64
	// Submit starts an operation; many may be in flight.
	Submit(op step.DiskOp)
	// Wait returns the tag and outcome of an operation that completed, each
	// once, in any order. It is called only while one is in flight.
	Wait() (step.Tag, step.DiskError)
	// Reopen ends all use of the disk without a sync and begins anew, with as
	// much lost of what was not synced as the disk can be made to lose.
	Reopen()
}

const (
	unit     = 4096 // of offsets and lengths
	diskSize = 4 << 20
)

// Run runs the suite. open returns a new disk of size bytes, all zeroes; it
// registers what is to be cleaned up with t.
func Run(t *testing.T, open func(t *testing.T, size int64) Disk) {
	for name, test := range map[string]func(*suite){
		"ReadsZeroesWhereNothingWasWritten":   (*suite).zeroes,
		"ReadsWhatWasWritten":                 (*suite).readsWrites,
		"PiecesAreWrittenAndReadInOrder":      (*suite).pieces,
		"EveryOperationCompletesOnceByItsTag": (*suite).tags,
		"BeyondTheEndNothingHappens":          (*suite).beyond,
		"OverlappingWritesLeaveOneOrTheOther": (*suite).overlap,
		"WhatWasSyncedSurvivesAReopen":        (*suite).reopen,
		"RandomOperationsAgreeWithAModel":     (*suite).model,
	} {
		t.Run(name, func(t *testing.T) {
			test(&suite{T: t, disk: open(t, diskSize)})
		})
	}
}

type suite struct {
	*testing.T
	disk Disk
}

func (s *suite) do(op step.DiskOp) step.DiskError {
	s.Helper()
	op.Tag = step.Tag{Owner: 1, Slot: 2, Generation: 3}
	s.disk.Submit(op)
	tag, err := s.disk.Wait()
	if tag != op.Tag {
		s.Fatalf("completion of %+v, submitted was %+v", tag, op.Tag)
	}
	return err
}

func (s *suite) buffer(n int, fill byte) block.Buffer {
	b := s.disk.Pool().Get(n)
	for i := range b.Bytes() {
		b.Bytes()[i] = fill
	}
	return b
}

func (s *suite) write(at int64, n int, fill byte) {
	s.Helper()
	b := s.buffer(n, fill)
	defer b.Release()
	if err := s.do(step.DiskOp{Kind: step.DiskWrite, Offset: at, Pieces: []block.Buffer{b}}); err != step.DiskOK {
		s.Fatalf("write of %d bytes at %d: error %d", n, at, err)
	}
}

func (s *suite) sync() {
	s.Helper()
	if err := s.do(step.DiskOp{Kind: step.DiskSync}); err != step.DiskOK {
		s.Fatalf("sync: error %d", err)
	}
}

func (s *suite) read(at int64, n int) []byte {
	s.Helper()
	b := s.buffer(n, 0xee)
	defer b.Release()
	if err := s.do(step.DiskOp{Kind: step.DiskRead, Offset: at, Pieces: []block.Buffer{b}}); err != step.DiskOK {
		s.Fatalf("read of %d bytes at %d: error %d", n, at, err)
	}
	return bytes.Clone(b.Bytes())
}

func (s *suite) expect(at int64, n int, fill byte) {
	s.Helper()
	if got := s.read(at, n); !bytes.Equal(got, bytes.Repeat([]byte{fill}, n)) {
		s.Fatalf("read at %d begins with %#x, want %d bytes of %#x", at, got[0], n, fill)
	}
}

func (s *suite) zeroes() {
	if got := s.disk.Size(); got != diskSize {
		s.Fatalf("size is %d, asked for %d", got, diskSize)
	}
	s.expect(0, 16*unit, 0)
	s.expect(diskSize-unit, unit, 0)
}

func (s *suite) readsWrites() {
	s.write(0, unit, 1)
	s.write(unit, 32*unit, 2)
	s.write(diskSize-unit, unit, 3)
	s.write(2*unit, unit, 4)
	s.expect(0, unit, 1)
	s.expect(unit, unit, 2)
	s.expect(2*unit, unit, 4)
	s.expect(3*unit, 30*unit, 2)
	s.expect(33*unit, unit, 0)
	s.expect(diskSize-unit, unit, 3)
}

func (s *suite) pieces() {
	out := []block.Buffer{s.buffer(unit, 1), s.buffer(3*unit, 2), s.buffer(2*unit, 3)}
	if err := s.do(step.DiskOp{Kind: step.DiskWrite, Offset: 7 * unit, Pieces: out}); err != step.DiskOK {
		s.Fatalf("write of three pieces: error %d", err)
	}
	s.expect(7*unit, unit, 1)
	s.expect(8*unit, 3*unit, 2)
	s.expect(11*unit, 2*unit, 3)
	in := []block.Buffer{s.buffer(2*unit, 0), s.buffer(4*unit, 0)}
	if err := s.do(step.DiskOp{Kind: step.DiskRead, Offset: 7 * unit, Pieces: in}); err != step.DiskOK {
		s.Fatalf("read of two pieces: error %d", err)
	}
	if in[0].Bytes()[0] != 1 || in[0].Bytes()[unit] != 2 || in[1].Bytes()[2*unit-1] != 2 || in[1].Bytes()[2*unit] != 3 {
		s.Fatal("the pieces of a read are not filled in order")
	}
}

func (s *suite) tags() {
	const count = 64
	var buffers [count]block.Buffer
	for i := range count {
		buffers[i] = s.buffer(unit, byte(i+1))
		s.disk.Submit(step.DiskOp{
			Kind: step.DiskWrite, Tag: step.Tag{Owner: 9, Slot: uint32(i), Generation: uint32(i * i)},
			Offset: int64(i) * unit, Pieces: buffers[i : i+1],
		})
	}
	var done [count]bool
	for range count {
		tag, err := s.disk.Wait()
		if err != step.DiskOK || tag.Owner != 9 || tag.Generation != tag.Slot*tag.Slot || done[tag.Slot] {
			s.Fatalf("completion %+v, error %d, seen before: %v", tag, err, done[tag.Slot])
		}
		done[tag.Slot] = true
	}
	for i := range count {
		s.expect(int64(i)*unit, unit, byte(i+1))
	}
}

func (s *suite) beyond() {
	s.write(diskSize-unit, unit, 1)
	for _, kind := range []step.DiskKind{step.DiskRead, step.DiskWrite} {
		for _, at := range []int64{diskSize - unit, diskSize, diskSize + 64*unit} {
			op := step.DiskOp{Kind: kind, Offset: at, Pieces: []block.Buffer{s.buffer(2*unit, 2)}}
			if err := s.do(op); err != step.DiskShort {
				s.Errorf("kind %d of %d bytes at %d of %d: error %d, want DiskShort", kind, 2*unit, at, diskSize, err)
			}
		}
	}
	s.expect(diskSize-unit, unit, 1)
}

func (s *suite) overlap() {
	for round := range 16 {
		a, b := s.buffer(4*unit, 1), s.buffer(4*unit, 2)
		s.disk.Submit(step.DiskOp{Kind: step.DiskWrite, Offset: 0, Pieces: []block.Buffer{a}})
		s.disk.Submit(step.DiskOp{Kind: step.DiskWrite, Offset: 2 * unit, Pieces: []block.Buffer{b}})
		for range 2 {
			if _, err := s.disk.Wait(); err != step.DiskOK {
				s.Fatalf("round %d: error %d", round, err)
			}
		}
		s.expect(0, 2*unit, 1)
		s.expect(4*unit, 2*unit, 2)
		for i, got := range s.read(2*unit, 2*unit) {
			if got != 1 && got != 2 {
				s.Fatalf("round %d: byte %d is %d", round, i, got)
			}
		}
	}
}

func (s *suite) reopen() {
	s.write(0, 8*unit, 1)
	s.write(diskSize-unit, unit, 2)
	s.sync()
	s.write(unit, unit, 3)
	s.disk.Reopen()
	s.expect(0, unit, 1)
	s.expect(2*unit, 6*unit, 1)
	s.expect(diskSize-unit, unit, 2)
	if got := s.read(unit, unit); got[0] != 1 && got[0] != 3 {
		s.Fatalf("a write without a sync left %d: neither the old nor the new content", got[0])
	}
}

func (s *suite) model() {
	const blocks = 64
	random := rand.New(rand.NewPCG(3, 4)) //nolint:forbidigo // seeded: the same every time
	model := make([]byte, blocks)
	for range 400 {
		first := random.IntN(blocks)
		count := 1 + random.IntN(min(8, blocks-first))
		switch random.IntN(4) {
		case 0:
			s.sync()
		case 1:
			for i, want := range model[first : first+count] {
				s.expect(int64(first+i)*unit, unit, want)
			}
		default:
			fill := byte(random.IntN(255))
			s.write(int64(first)*unit, count*unit, fill)
			copy(model[first:first+count], bytes.Repeat([]byte{fill}, count))
		}
	}
	s.sync()
	s.disk.Reopen()
	for i, want := range model {
		s.expect(int64(i)*unit, unit, want)
	}
}
