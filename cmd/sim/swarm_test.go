package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/sim"
)

// newSwarm returns a swarm on a clock of its own, one second a look.
func newSwarm(t *testing.T, out *bytes.Buffer) *swarm {
	t.Helper()
	clock := time.Unix(0, 0)
	return &swarm{
		out: out, workers: 2, first: 1, profile: sim.Quiet, every: time.Second, pages: t.TempDir(), simulate: sim.Run,
		now: func() time.Time { clock = clock.Add(time.Second); return clock },
	}
}

func linesOf(t *testing.T, out *bytes.Buffer) (all []line) {
	t.Helper()
	for text := range strings.Lines(out.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		all = append(all, l)
	}
	return all
}

func TestSwarmBeginsWithTheCanaryAndWritesATimeSeries(t *testing.T) {
	var out bytes.Buffer
	s := newSwarm(t, &out)
	s.most = 4
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := linesOf(t, &out)
	if len(lines) != 6 || lines[0].Canary == "" {
		t.Fatalf("%d lines, the first one %+v", len(lines), lines[0])
	}
	last := lines[len(lines)-1]
	if last.Seeds != 4 || last.SeedsPerMinute <= 0 || last.Acknowledged < 0.99 || last.Marks == 0 || last.Failed != "" {
		t.Errorf("the last line: %+v", last)
	}
}

func TestSwarmStopsAtTheFirstFailureAndSaysHowToSeeIt(t *testing.T) {
	var out bytes.Buffer
	s := newSwarm(t, &out)
	s.simulate = func(p *sim.Plan, o sim.Options) *sim.Report {
		r := sim.Run(p, o)
		if p.Seed == 3 {
			r.Violation = &sim.Violation{Invariant: "I9", Text: "is said to be broken", Step: r.Steps}
		}
		return r
	}
	err := s.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "I9") {
		t.Fatalf("it ended with %v", err)
	}
	lines := linesOf(t, &out)
	last := lines[len(lines)-1]
	if last.Seeds > 6 {
		t.Errorf("it went on for %d seeds", last.Seeds)
	}
	if !strings.Contains(last.Failed, "I9") || !strings.Contains(last.Replay, "-seed=0x3 -profile=none") || last.Shrink != "make shrink SEED=0x3 PROFILE=none" {
		t.Errorf("the last line: %+v", last)
	}
	page, err := os.ReadFile(last.Page)
	if err != nil || !bytes.Contains(page, []byte("is said to be broken")) {
		t.Errorf("the page: %v", err)
	}
}
