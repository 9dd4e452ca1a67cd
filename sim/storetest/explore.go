package storetest

import (
	"fmt"
	"strings"

	"github.com/lagan-storage/lagan/sim/disk"
)

func lossOf(n uint64) disk.Loss {
	return disk.LoseAll + disk.Loss(n%uint64(disk.LossCount-disk.LoseAll))
}

// Exploration says how thoroughly the crashes of a script are tried.
type Exploration struct {
	Seeds  uint64 // draws per boundary for every kind of crash that draws
	Every  int    // only each so many-th boundary; 0: every one
	Deeper int    // every so many-th crash is crashed again during its recovery and afterwards; 0: none
	After  []Line // goes on after each crash; nil: a short one of its own
}

// Report is what an exploration did.
type Report struct {
	Boundaries int // places where the disk was about to change
	Crashes    int
	Deeper     int // crashes of recoveries
}

// Explore plays script and, at every boundary of its disk I/O, crashes a copy
// in every way, opens it, checks it, goes on with it and checks that again.
// What fails is run again with a trace: the same seed fails the same way.
func Explore(c Config, script []Line, x Exploration) (Report, error) {
	c.Trace = false
	report, err := explore(c, script, x)
	if err != nil {
		c.Trace = true
		report, err = explore(c, script, x)
	}
	return report, err
}

func explore(c Config, script []Line, x Exploration) (Report, error) {
	var report Report
	m := New(c)
	m.onBoundary = func(m *Machine) {
		report.Boundaries++
		if x.Every > 1 && report.Boundaries%x.Every != 0 {
			return
		}
		if err := crashes(m, x, &report); err != nil {
			m.fail("%w", err)
		}
	}
	m.Play(script)
	m.Settled()
	m.Check()
	if m.failure != nil {
		return report, fmt.Errorf("seed %#x: %w\n%s", c.Seed, m.failure, m.Trace())
	}
	return report, nil
}

// crashes tries every way to die here.
func crashes(m *Machine, x Exploration, report *Report) error {
	for seed := range x.Seeds {
		if err := crash(m, Crash{Seed: seed}, x, report); err != nil {
			return err
		}
	}
	for l := disk.LoseAll; l < disk.LossCount; l++ {
		for seed := range x.Seeds {
			if (l == disk.LoseAll || l == disk.LoseNothing) && seed > 0 && m.disk.InFlight() == 0 {
				break // nothing is drawn
			}
			if err := crash(m, Crash{Power: true, Loss: l, Seed: seed}, x, report); err != nil {
				return err
			}
		}
	}
	return nil
}

func crash(m *Machine, c Crash, x Exploration, report *Report) error {
	f := m.fork(m.config.Seed*1_000_003 + c.Seed*977 + uint64(report.Boundaries))
	f.log("crash at boundary %d: %+v", report.Boundaries, c)
	report.Crashes++
	if x.Deeper > 0 && report.Crashes%x.Deeper == 0 {
		f.onBoundary = deeper(c, report)
	}
	f.Crash(c)
	f.onBoundary = nil
	after := x.After
	if after == nil {
		after = shortScript
	}
	f.Play(after)
	f.Settled()
	if f.failure == nil {
		f.Crash(Crash{Power: true, Loss: lossOf(c.Seed)})
	}
	if f.failure != nil {
		return fmt.Errorf("boundary %d, crash %+v: %w\n%s", report.Boundaries, c, f.failure, f.Trace())
	}
	return nil
}

// deeper crashes the recovery itself at each of its boundaries, once.
func deeper(c Crash, report *Report) func(*Machine) {
	return func(m *Machine) {
		f := m.fork(m.config.Seed + 13)
		report.Deeper++
		f.log("crash of the recovery")
		f.Crash(Crash{Power: report.Deeper%2 == 0, Loss: lossOf(uint64(report.Deeper))})
		if f.failure != nil {
			m.fail("crash of the recovery: %w\n%s", f.failure, f.Trace())
		}
	}
}

// shortScript shows that a recovered store is a whole store.
var shortScript = []Line{ // constant table: never written
	{Verb: Create, Slot: 0, N: 32},
	{Verb: Write, Slot: 0, A: 1, N: 2},
	{Verb: Write, Slot: 0, A: 0, N: 16},
	{Verb: Run, N: 3},
	{Verb: Write, Slot: 0, A: 3, N: 1},
	{Verb: Sync, Slot: 0},
	{Verb: Drain},
	{Verb: Stable, Slot: 0},
	{Verb: Read, Slot: 0, A: 0, N: 16},
	{Verb: Idle, N: 31},
	{Verb: Write, Slot: 0, A: 5, N: 3},
}

const traceLinesMax = 400 // the end of a trace is what explains a failure

// Trace returns what happened, if Config.Trace was set.
func (m *Machine) Trace() string {
	lines := m.trace
	if len(lines) > traceLinesMax {
		lines = append([]string{"…"}, lines[len(lines)-traceLinesMax:]...)
	}
	return strings.Join(lines, "\n")
}
