// Package fsck holds simulated disks against core/store/check, which reads a disk
// from the outside, without a store. The store's tests and the simulated world
// ask it whether a disk at rest is right, and draw from it what they damage.
package fsck

import (
	"io"
	"slices"

	"github.com/lagan-storage/lagan/core/store/check"
	"github.com/lagan-storage/lagan/sim/disk"
)

// reader reads a disk as it is, whatever its faults.
type reader struct{ *disk.Disk }

// ReadAt implements io.ReaderAt.
func (r reader) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(b)) > r.Size() {
		return 0, io.EOF
	}
	r.Peek(at, b)
	return len(b), nil
}

// Open reads a disk as it is now.
func Open(d *disk.Disk) (*check.Image, error) { return check.Open(reader{d}, d.Size()) }

// Check reports whether every slot and page of the newest durable root of a disk
// has exactly one owner: a set comparison (I12).
func Check(d *disk.Disk) error {
	im, err := Open(Durable(d))
	if err != nil {
		return err
	}
	return check.Tables(im).Err()
}

// Lost counts the slots of a disk that are taken and that nothing uses: a page that
// named them is lost.
func Lost(d *disk.Disk) (slots int) {
	im, err := Open(Durable(d))
	if err != nil {
		return 0
	}
	for _, f := range check.Tables(im).Findings {
		if f.Kind == check.SlotLost {
			slots++
		}
	}
	return slots
}

// CheckAll is Check with the journal and the checksums of all data, for a disk
// that nothing has damaged. What power losses leave is no damage.
func CheckAll(d *disk.Disk) error {
	im, err := Open(Durable(d))
	if err != nil {
		return err
	}
	return check.Run(im).Err()
}

// Pages returns where the pages of the newest durable root lie, from low to high.
func Pages(d *disk.Disk) []int64 {
	im, err := Open(Durable(d))
	if err != nil {
		return nil
	}
	return im.Pages()
}

// Batch is a batch of the journal, as it lies on the disk.
type Batch struct {
	Number         uint64
	Durable        uint64 // a batch that this one calls durable
	Offset, Length int64
}

// Durable returns what would be left of a disk if nothing that is not synced were.
func Durable(d *disk.Disk) *disk.Disk {
	c := d.Clone(0)
	c.SetFaults(disk.Faults{})
	c.Restore(c.Snapshot())
	return c
}

// Batches returns the journal's batches that are whole in their headers and not
// older than its tail, newest first: what an opening would read.
func Batches(d *disk.Disk) (list []Batch) {
	im, err := Open(d)
	if err != nil {
		return nil
	}
	for _, b := range slices.Backward(im.Batches()) {
		list = append(list, Batch{Number: b.Batch, Durable: b.Durable, Offset: b.Offset, Length: int64(b.Length)})
	}
	return list
}
