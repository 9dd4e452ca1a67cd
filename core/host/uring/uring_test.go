package uring

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const entries = 8

func open(t *testing.T) *Ring {
	t.Helper()
	r, err := New(entries)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func vector(data ...[]byte) (list []unix.Iovec) {
	for _, d := range data {
		v := unix.Iovec{Base: &d[0]}
		v.SetLen(len(d))
		list = append(list, v)
	}
	return list
}

// results waits for n operations and returns what they ended with, by user.
func results(t *testing.T, r *Ring, n int) map[uint64]int {
	t.Helper()
	ended := map[uint64]int{}
	for len(ended) < n {
		if err := r.Wait(); err != nil {
			t.Fatal(err)
		}
		for user, result, ok := r.Next(); ok; user, result, ok = r.Next() {
			if _, twice := ended[user]; twice {
				t.Fatalf("operation %d ended twice", user)
			}
			ended[user] = result
		}
	}
	return ended
}

func TestWhatWasWrittenIsReadPieceByPiece(t *testing.T) {
	r := open(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	const size = 512
	for round := range 5 { // more than once around the queues
		var vectors [entries][]unix.Iovec
		for i := range vectors {
			vectors[i] = vector(bytes.Repeat([]byte{byte(round*entries + i)}, size), bytes.Repeat([]byte{byte(i)}, size))
			r.Write(int(f.Fd()), vectors[i], int64(2*size*i), uint64(i))
		}
		for user, n := range results(t, r, entries) {
			if n != 2*size {
				t.Fatalf("write %d ended with %d", user, n)
			}
		}
		got := make([]byte, 2*size*entries)
		whole := vector(got[:size], got[size:])
		r.Read(int(f.Fd()), whole, 0, 99)
		if n := results(t, r, 1)[99]; n != len(got) {
			t.Fatalf("read ended with %d", n)
		}
		for i := range entries {
			first, second := got[2*size*i], got[2*size*i+size]
			if first != byte(round*entries+i) || second != byte(i) {
				t.Fatalf("round %d, write %d: read %d and %d", round, i, first, second)
			}
		}
	}
}

func TestErrorsAreTold(t *testing.T) {
	r := open(t)
	v := vector(make([]byte, 16))
	r.Read(-1, v, 0, 7)
	if got := results(t, r, 1)[7]; syscall.Errno(-got) != syscall.EBADF {
		t.Errorf("a read of no file ended with %d, not %d", got, -int(syscall.EBADF))
	}
}
