package diskio

import (
	"errors"
	"fmt"
	"math"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
)

// Format writes an empty store over the disk.
func (d *File) Format(g store.Geometry, pool block.Pool, seed uint64, clock func() step.Time) error {
	s := store.New(store.Params{Pool: pool, Seed: seed})
	var out step.Effects
	s.Format(clock(), g, &out)
	for range math.MaxInt16 { // a format takes a few dozen operations
		for _, res := range s.Results() {
			switch res.Kind {
			case store.Formatted:
				return nil
			case store.Failed:
				return fmt.Errorf("format disk %s: %s", d.Path, res.Text)
			default:
			}
		}
		if len(out.Disk) == 0 {
			break
		}
		ops := append([]step.DiskOp(nil), out.Disk...)
		out.Reset()
		for _, op := range ops {
			s.Step(clock(), &step.Event{Kind: step.EventDiskDone, Tag: op.Tag, DiskError: d.Perform(&op)}, &out)
		}
	}
	return errors.New("format disk " + d.Path + ": the store did not come to an end")
}
