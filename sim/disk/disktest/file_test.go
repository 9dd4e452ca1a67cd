package disktest_test

import (
	"path/filepath"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/sim/disk/disktest"
)

// file is a disk of production: a real file and those who work on it.
type file struct {
	t        *testing.T
	path     string
	blocking bool
	pool     *host.Pool
	queue    *diskio.Queue
	size     int64
	ended    chan step.Event
}

func (d *file) Pool() block.Pool { return d.pool }

func (d *file) Size() int64 { return d.size }

func (d *file) Submit(op step.DiskOp) { d.queue.Submit([]step.DiskOp{op}) }

func (d *file) Wait() (step.Tag, step.DiskError) {
	ev := <-d.ended
	return ev.Tag, ev.DiskError
}

func (d *file) deliver(done []step.Event, next []step.DiskOp) []step.DiskOp {
	for _, ev := range done {
		d.ended <- ev
	}
	return next
}

func (d *file) Reopen() {
	if err := d.queue.Stop(); err != nil {
		d.t.Fatal(err)
	}
	d.open()
}

func (d *file) open() {
	f, err := diskio.Open(d.path, d.size)
	if err != nil {
		d.t.Fatal(err)
	}
	d.queue = f.Start(diskio.Params{Deliver: d.deliver, Failed: func(string) uint32 { return 1 }, Blocking: d.blocking})
}

func TestFilesKeepTheContractOfDisks(t *testing.T) {
	for name, blocking := range map[string]bool{"Rings": false, "Blocking": true} {
		t.Run(name, func(t *testing.T) {
			disktest.Run(t, func(t *testing.T, size int64) disktest.Disk {
				d := &file{
					t: t, path: filepath.Join(t.TempDir(), "disk"), size: size, blocking: blocking,
					pool: host.NewPool(), ended: make(chan step.Event, 4096),
				}
				d.open()
				t.Cleanup(func() {
					if err := d.queue.Stop(); err != nil {
						t.Error(err)
					}
				})
				if !blocking && !d.queue.Rings() {
					t.Skip("this kernel has no io_uring, or forbids it")
				}
				return d
			})
		})
	}
}
