package diskio

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

// fileWith makes a file of 4 MiB with some bytes at a place.
func fileWith(t *testing.T, at int64, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err == nil {
		err = f.Truncate(4 << 20)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(text), at)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func contentOf(t *testing.T, path string) string {
	t.Helper()
	l, err := OpenLook(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := l.Content()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return content
}

func TestContentIsNamedAndWiped(t *testing.T) {
	for _, m := range append(magics(), magic{3<<20 + 5, "x", "data at its end"}, magic{77, "x", "data at its beginning"}, magic{2 << 20, "x", ""}) {
		path := fileWith(t, m.at, m.text)
		if got := contentOf(t, path); got != m.name {
			t.Errorf("%q at %d is called %q, want %q", m.text, m.at, got, m.name)
		}
		f, err := Open(path, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Wipe(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got := contentOf(t, path); got != "" {
			t.Errorf("%s is still %q after it was wiped", m.name, got)
		}
	}
}

func TestDiskInUseIsNotLookedAt(t *testing.T) {
	path := fileWith(t, 0, "")
	f, err := Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLook(path); err == nil || !strings.Contains(err.Error(), "a daemon has it open") {
		t.Errorf("looked at a disk in use: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLook(t.TempDir()); err == nil {
		t.Error("looked at a directory")
	}
}

func TestWorkIsCountedAndADiskThatHangsIsSeen(t *testing.T) {
	now := time.Duration(0)
	q := &Queue{file: &File{Direct: true}, work: work{elapsed: func() time.Duration { return now }}}
	first := q.work.begin(step.DiskWrite)
	now += 2 * time.Second
	second := q.work.begin(step.DiskWrite)
	if w := q.Work(); w.Waiting != 2*time.Second || w.Writes.Count != 0 || !w.Direct {
		t.Errorf("%+v", w)
	}
	q.work.end(step.DiskWrite, first, step.DiskOK)
	now += time.Second
	if w := q.Work(); w.Waiting != time.Second || w.Writes.Count != 1 || w.Writes.Mean() != 2*time.Second {
		t.Errorf("%+v", w)
	}
	q.work.end(step.DiskWrite, second, step.DiskEIO)
	now += time.Hour
	if w := q.Work(); w.Waiting != 0 || w.Writes.Errors != 1 || w.Reads.Count+w.Syncs.Count != 0 {
		t.Errorf("%+v", w)
	}
}
