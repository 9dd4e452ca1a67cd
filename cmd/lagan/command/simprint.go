package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/sim"
	"github.com/lagan-storage/lagan/sim/swarm"
)

// simBegan is the first thing that sim prints of many seeds.
type simBegan struct {
	Canary     string  `json:"canary"` // how what must fail failed
	Commit     string  `json:"commit"`
	Profile    string  `json:"profile"`
	First      string  `json:"first_seed"`
	Jobs       int     `json:"jobs"`
	ForSeconds float64 `json:"for_seconds"`

	broke string // the canary, for people
}

// simVerdict is what sim prints of one run.
type simVerdict struct {
	Seed           string        `json:"seed"`
	Profile        string        `json:"profile"`
	Commit         string        `json:"commit"`
	Hash           string        `json:"hash"` // of all that happened: the same seed has the same
	Events         uint64        `json:"events"`
	VirtualSeconds float64       `json:"virtual_seconds"`
	Operations     int           `json:"operations"`
	Acknowledged   int           `json:"acknowledged"`
	Faults         []string      `json:"faults"` // that struck
	Violation      *simViolation `json:"violation,omitempty"`

	line string // for people
}

// simViolation is what a run broke.
type simViolation struct {
	Invariant string   `json:"invariant"`
	Text      string   `json:"text"`
	Step      uint64   `json:"step"`
	AtSeconds float64  `json:"at_seconds"`
	Replay    string   `json:"replay"`           // a command
	Shrink    string   `json:"shrink,omitempty"` // another, where the source is
	Files     []string `json:"files"`            // that show it
}

func simVerdictOf(r *sim.Report, commands []string) *simVerdict {
	out := &simVerdict{
		Seed: fmt.Sprintf("%#x", r.Plan.Seed), Profile: string(r.Plan.Profile), Commit: built().commit(), Hash: fmt.Sprintf("%016x", r.Hash),
		Events: r.Steps, VirtualSeconds: r.Virtual.Seconds(), Operations: r.Counts.Asked, Acknowledged: r.Counts.Acknowledged, Faults: []string{},
	}
	for i := range r.Struck {
		out.Faults = append(out.Faults, r.Struck[i].String())
	}
	if v := r.Violation; v != nil {
		out.Violation = &simViolation{Invariant: v.Invariant, Text: v.Text, Step: v.Step, AtSeconds: v.At.Seconds(), Replay: commands[0]}
		out.line = r.Line(out.Commit, commands[0])
		if len(commands) > 1 {
			out.Violation.Shrink = commands[1]
		}
	}
	return out
}

func (b *simBegan) write(w io.Writer) error {
	out := &lines{w: w}
	out.add("canary: a run that must fail does, by %s", b.broke)
	out.add("seeds from %s on, profile %s, %s at once, for %v; commit %s\n", b.First, b.Profile, plural(b.Jobs, "run", "runs"), time.Duration(b.ForSeconds*1e9), b.Commit)
	out.add("%8s %9s %10s %10s %10s %6s %6s  %s", "TIME", "SEEDS", "SEEDS/MIN", "EVENTS/S", "CHECKED/S", "ACKED", "MARKS", "RAREST")
	return out.err
}

// writeSimLine writes a line of the time series. The next one is not known yet, so
// the columns have a fixed width.
func writeSimLine(w io.Writer, l *swarm.Line) error {
	rarest := l.Rarest()
	_, err := fmt.Fprintf(w, "%8v %9d %10.0f %10.0f %10.0f %5.0f%% %6d  %s (%d)\n", time.Duration(l.Seconds*1e9).Round(time.Second), l.Seeds,
		l.SeedsPerMinute, l.EventsPerSecond, l.CheckedPerSecond, 100*l.Acknowledged, len(l.Marks), dash(string(rarest)), l.Marks[rarest])
	return err
}

// writeHappened says at the end in how many runs what happened.
func writeHappened(w io.Writer, l *swarm.Line, failed bool) error {
	out := &lines{w: w}
	if l.Seeds == 0 {
		out.add("\nno run has ended yet")
		return out.err
	}
	out.add("\n%s; share of them with a", plural(l.Seeds, "run", "runs"))
	for _, name := range slices.Sorted(maps.Keys(l.Happened)) {
		out.add("  %3d %%  %s", 100*l.Happened[name]/l.Seeds, name)
	}
	if !failed {
		out.add("\nno run failed")
	} else {
		out.add("")
	}
	return out.err
}

// write is the verdict for people.
func (r *simVerdict) write(w io.Writer) error {
	out := &lines{w: w}
	v := r.Violation
	if v != nil {
		out.add("%s\n\n%s\n", r.line, wrapped(v.Text))
	}
	out.add("seed %s, profile %s: %d events, %.1f s of virtual time, %d of %d operations acknowledged, %s; hash %s", r.Seed, r.Profile, r.Events,
		r.VirtualSeconds, r.Acknowledged, r.Operations, plural(len(r.Faults), "fault", "faults"), r.Hash)
	if v == nil {
		out.add("nothing is wrong")
		return out.err
	}
	if v.Shrink != "" {
		out.add("where the source is, this makes it small:  %s", v.Shrink)
	}
	out.add("it is shown by %s", strings.Join(v.Files, ", "))
	return out.err
}
