package reference

import (
	"context"
	"errors"
	"fmt"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

// twinBytes is how large each of the two files is.
const twinBytes = 64 << 20

// Twin measures one pattern on two files beside path at once: an operation has
// ended when both files have it. Two copies on one disk cannot be faster.
func Twin(ctx context.Context, path string, pool block.Pool, clock func() step.Time, p Pattern) (f load.Figures, err error) {
	var files [2]*Disk
	defer func() {
		for _, d := range files {
			if d != nil {
				err = errors.Join(err, d.Close())
			}
		}
	}()
	for i := range files {
		if files[i], err = OpenDisk(fmt.Sprintf("%s.twin%d", path, i), twinBytes, pool, clock); err != nil {
			return nil, err
		}
	}
	data := Noise(pool, p.Length, 1)
	defer data.Release()
	write := func(d *Disk, at int64) error { return transfer(int(d.file.Fd()), data.Bytes(), at, &p) }
	begin, ended := make(chan int64), make(chan error)
	defer close(begin)
	go func() {
		for at := range begin {
			ended <- write(files[1], at)
		}
	}()
	random, count := load.Random(1), int64(twinBytes/p.Length)
	next := int64(0)
	s, err := load.Run(ctx, &load.Job{
		Clock: clock, Depth: 1, WarmUp: p.WarmUp, Span: p.Span, Bytes: p.Length,
		One: func(int) error {
			next = (next + 1) % count
			if p.Random {
				next = random.Below(count)
			}
			at := next * int64(p.Length)
			begin <- at
			return errors.Join(write(files[0], at), <-ended)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("reference files %s.twin*: %w", path, err)
	}
	return s.Figures(), nil
}
