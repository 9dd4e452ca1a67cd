package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/step"
)

// pattern is how a client goes through a volume.
type pattern struct {
	writes int  // of 100 operations; the others read
	random bool // otherwise one operation follows the other, round and round
	flush  bool // after each write
	length int  // bytes of one operation
	depth  int
}

// client drives a volume from within the process of the node that serves it, as
// a device does: an operation and a buffer for each that is under way.
type client struct {
	volume *host.Volume
	pool   block.Pool
	clock  func() step.Time
}

// lane is what one operation under way uses again and again.
type lane struct {
	op     host.Operation
	out    block.Buffer // what is written: it may be on its way to a slow copy for longer
	in     block.Buffer // what is read
	done   chan error
	random load.Random
	next   int64
}

func (c *client) lanes(p *pattern) []lane {
	lanes := make([]lane, p.depth)
	count := c.volume.Size() / int64(p.length)
	for i := range lanes {
		l := &lanes[i]
		l.out, l.in = reference.Noise(c.pool, p.length, uint64(i)), c.pool.Get(p.length)
		l.done = make(chan error, 1)
		l.random = load.Random(uint64(c.clock()) + uint64(i))
		l.next = count * int64(i) / int64(p.depth)
		l.op.Done = func(_ *host.Operation, err error) { l.done <- err }
	}
	return lanes
}

// run measures one pattern.
func (c *client) run(ctx context.Context, p *pattern, warmUp, span time.Duration) (load.Figures, error) {
	lanes := c.lanes(p)
	s, err := load.Run(ctx, &load.Job{
		Clock: c.clock, Depth: p.depth, WarmUp: warmUp, Span: span, Bytes: p.length,
		One: func(i int) error { return c.one(&lanes[i], p) },
	})
	if err != nil {
		return nil, err
	}
	release(lanes)
	return s.Figures(), nil
}

// one performs the next operation of a lane.
func (c *client) one(l *lane, p *pattern) error {
	count := c.volume.Size() / int64(p.length)
	l.next = (l.next + 1) % count
	if p.random {
		l.next = l.random.Below(count)
	}
	kind := step.ReadRequest
	if p.writes == 100 || l.random.Below(100) < int64(p.writes) {
		kind = step.WriteRequest
	}
	err := c.do(l, kind, l.next*int64(p.length), p.length)
	if err == nil && p.flush && kind == step.WriteRequest {
		err = c.do(l, step.FlushRequest, 0, 0)
	}
	return err
}

func release(lanes []lane) {
	for i := range lanes {
		lanes[i].out.Release()
		lanes[i].in.Release()
	}
}

// do performs one operation of a lane to its end.
func (c *client) do(l *lane, kind step.RequestKind, offset int64, length int) error {
	l.op.Kind, l.op.Offset, l.op.Length = kind, offset, int64(length)
	l.op.Buffer = block.Buffer{}
	switch kind {
	case step.ReadRequest:
		l.op.Buffer = l.in
	case step.WriteRequest:
		l.op.Buffer = l.out
	default: // moves nothing
	}
	c.volume.Submit(&l.op)
	return <-l.done
}

// fill writes the volume from end to end and makes it durable.
func (c *client) fill(ctx context.Context) error {
	const length = 128 << 10
	lanes := c.lanes(&pattern{length: length, depth: 1})
	defer release(lanes)
	for at := int64(0); at < c.volume.Size(); at += length {
		if err := c.do(&lanes[0], step.WriteRequest, at, int(min(length, c.volume.Size()-at))); err != nil {
			return fmt.Errorf("fill at %d: %w", at, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return c.do(&lanes[0], step.FlushRequest, 0, 0)
}

// verify writes blocks that say where they are, in a random order and over each
// other, and reads all of them back: no figure counts for a volume that loses data.
func (c *client) verify(blocks int) error {
	lanes := c.lanes(&pattern{length: block.Size, depth: 1})
	defer release(lanes)
	l := &lanes[0]
	count := c.volume.Size() / block.Size
	newest := map[int64]uint64{}
	var order []int64
	for version := range uint64(blocks) {
		at := l.random.Below(min(count, int64(blocks)))
		if _, known := newest[at]; !known {
			order = append(order, at)
		}
		newest[at] = version + 1
		l.out.Release()
		l.out = c.pool.Get(block.Size)
		stamp(l.out.Bytes(), at, version+1)
		if err := c.do(l, step.WriteRequest, at*block.Size, block.Size); err != nil {
			return fmt.Errorf("write block %d: %w", at, err)
		}
	}
	want := make([]byte, block.Size)
	for _, at := range order {
		if err := c.do(l, step.ReadRequest, at*block.Size, block.Size); err != nil {
			return fmt.Errorf("read block %d: %w", at, err)
		}
		stamp(want, at, newest[at])
		if string(want) != string(l.in.Bytes()) {
			return fmt.Errorf("block %d is not what was written last", at)
		}
	}
	return nil
}

// stamp fills data with what only this version of this block has.
func stamp(data []byte, at int64, version uint64) {
	for i := range data {
		data[i] = byte(uint64(i) + uint64(i)>>8*version + uint64(at)*31)
	}
	copy(data, fmt.Sprintf("block %d version %d ", at, version))
}
