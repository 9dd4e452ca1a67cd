package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/bench/parts"
	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
)

// fastCalls is how many calls of a fast part are measured as one.
const fastCalls = 256

// measureParts measures what a write passes through, and the bare machine under it.
func (s *suite) measureParts(ctx context.Context) (err error) {
	if s.unwanted("parts") {
		return nil
	}
	scratch, err := os.MkdirTemp(s.Out, "parts-")
	if err != nil {
		return fmt.Errorf("measure parts: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	c := contest{
		name:       "parts",
		conditions: "figures are per operation; the disk is O_DIRECT where it lets us, one operation under way",
		contenders: []contender{
			{"loopback-4k-qd1", s.network.Run},
			{"raw-append-4k", s.rawRun(reference.Pattern{Write: true, Length: block.Size, Depth: 1})},
			{"raw-append-8k", s.rawRun(reference.Pattern{Write: true, Length: 2 * block.Size, Depth: 1})},
		},
	}
	for _, part := range parts.All() {
		dir, err := os.MkdirTemp(scratch, "")
		if err != nil {
			return fmt.Errorf("measure parts: %w", err)
		}
		o, err := part.Open(ctx, parts.Params{Dir: dir, Pool: s.pool, Clock: s.Clock, Now: s.Now, Log: s.Log})
		if err != nil {
			s.skip("parts/"+part.Name, err)
			continue
		}
		defer func() { err = errors.Join(err, o.Close()) }()
		c.contenders = append(c.contenders, contender{part.Name, s.partRun(&part, o)})
	}
	return s.hold(ctx, &c)
}

func (s *suite) partRun(part *parts.Part, o *parts.Opened) runner {
	calls := 1
	if part.Fast {
		calls = fastCalls
	}
	return func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
		sample, err := load.Run(ctx, &load.Job{
			Clock: s.Clock, Depth: 1, WarmUp: warmUp, Span: span / 4,
			One: func(int) error {
				for range calls {
					if err := o.One(); err != nil {
						return err
					}
				}
				return nil
			},
		})
		if err != nil {
			return nil, err
		}
		return sample.Figures().Per(calls * part.Ops), nil
	}
}
