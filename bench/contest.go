package bench

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
)

const (
	// quietWindow is how long the CPU of the process is watched at a time, and
	// quietWindows how many of them in a row must be quiet: a store takes a
	// second to see that nobody writes.
	quietWindow  = 100 * time.Millisecond
	quietWindows = 12
)

// runner performs one short run of a bench.
type runner func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error)

// contender is one bench of a contest. Its name is the contest's, a slash and
// its own.
type contender struct {
	name string
	run  runner
}

// contest is benches that are compared: they run in turn, round after round,
// A B C A B C …, so that what the machine does meanwhile hits all of them. The
// references come first, when what the engine still had to do is done.
type contest struct {
	name       string
	conditions string // what holds for all
	against    string // the contender that the others are compared with, "" none
	contenders []contender
	rounds     int           // 0: the suite's
	span       time.Duration // 0: the suite's
	apart      bool          // what one leaves to be done would slow the next: each begins when that is over
}

// unwanted reports whether another contest was asked for.
func (s *suite) unwanted(name string) bool {
	if s.Only == "" {
		return false
	}
	wanted, err := path.Match(s.Only, name)
	return err != nil || !wanted
}

// hold runs c, keeps the medians of every bench and prints them. A bench that
// fails is left out of the following rounds and counts as not run.
func (s *suite) hold(ctx context.Context, c *contest) error {
	if s.unwanted(c.name) {
		return nil
	}
	rounds, span := c.rounds, c.span
	if rounds == 0 {
		rounds = s.scale.rounds
	}
	if span == 0 {
		span = s.scale.span
	}
	runs := make([][]load.Figures, len(c.contenders))
	failed := make([]error, len(c.contenders))
	for range rounds {
		for i := range c.contenders {
			if failed[i] != nil {
				continue
			}
			if i == 0 || c.apart {
				if err := s.settle(ctx); err != nil {
					return err
				}
			}
			f, err := c.contenders[i].run(ctx, s.scale.warmUp, span)
			if ctx.Err() != nil {
				return fmt.Errorf("%s/%s: %w", c.name, c.contenders[i].name, ctx.Err())
			}
			runs[i], failed[i] = append(runs[i], f), err
		}
	}
	against := c.name + "/" + c.against
	for i := range c.contenders {
		if bench := c.name + "/" + c.contenders[i].name; failed[i] != nil {
			s.skip(bench, failed[i])
		} else {
			s.results.add(bench, against, load.Medians(runs[i]))
		}
	}
	s.printContest(c, rounds, span)
	return nil
}

// settle waits until this process does next to nothing: a store goes on writing
// home what its journal took, and a reference measured meanwhile would look slow.
func (s *suite) settle(ctx context.Context) error {
	const idle = 5 // a fifth of a core: heartbeats take less
	deadline := s.Clock().Add(s.scale.settle)
	for quiet := 0; quiet < quietWindows && s.Clock() < deadline; {
		cpu := load.ProcessCPU()
		window, cancel := context.WithTimeout(ctx, quietWindow)
		<-window.Done()
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if quiet++; load.ProcessCPU()-cpu > quietWindow/idle {
			quiet = 0
		}
	}
	return nil
}
