package disktest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/sim/disk/disktest"
)

// file is the plainest disk on a real file: one operation at a time, through
// the page cache. That it passes shows that the suite asks for nothing that
// only a simulation can do.
type file struct {
	t       *testing.T
	path    string
	f       *os.File
	size    int64
	pending []done
}

type done struct {
	tag step.Tag
	err step.DiskError
}

func (d *file) Pool() block.Pool { return block.Heap{} }
func (d *file) Size() int64      { return d.size }

func (d *file) Submit(op step.DiskOp) {
	d.pending = append(d.pending, done{op.Tag, d.perform(&op)})
}

func (d *file) perform(op *step.DiskOp) step.DiskError {
	at := op.Offset
	for _, p := range op.Pieces {
		at += int64(p.Len())
	}
	if at > d.size {
		return step.DiskShort
	}
	var err error
	at = op.Offset
	for _, p := range op.Pieces {
		if op.Kind == step.DiskRead {
			_, err = d.f.ReadAt(p.Bytes(), at)
		} else {
			_, err = d.f.WriteAt(p.Bytes(), at)
		}
		if err != nil {
			return step.DiskEIO
		}
		at += int64(p.Len())
	}
	if op.Kind == step.DiskSync && d.f.Sync() != nil {
		return step.DiskEIO
	}
	return step.DiskOK
}

func (d *file) Wait() (step.Tag, step.DiskError) {
	first := d.pending[0]
	d.pending = d.pending[1:]
	return first.tag, first.err
}

func (d *file) Reopen() {
	if err := d.f.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.open()
}

func (d *file) open() {
	f, err := os.OpenFile(d.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := f.Truncate(d.size); err != nil {
		d.t.Fatal(err)
	}
	d.f = f
}

func TestPlainFileKeepsTheContractOfDisks(t *testing.T) {
	disktest.Run(t, func(t *testing.T, size int64) disktest.Disk {
		d := &file{t: t, path: filepath.Join(t.TempDir(), "disk"), size: size}
		d.open()
		t.Cleanup(func() { _ = d.f.Close() })
		return d
	})
}
