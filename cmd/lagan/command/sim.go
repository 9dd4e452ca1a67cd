package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/linearizability"
	"github.com/lagan-storage/lagan/sim"
	"github.com/lagan-storage/lagan/sim/swarm"
)

// simulation is what sim was asked for.
type simulation struct {
	*session
	lasts, every time.Duration
	jobs         int
	seeds, first uint64
	profile      string
	pages        string

	seed     uint64 // one run instead of many
	log      bool
	traceOut string
}

func (s *session) sim() *cobra.Command {
	m := &simulation{session: s}
	c := hasNoNames(&cobra.Command{
		Use: "sim [SCRIPT]", Short: "Try to break this program: run it in simulated clusters full of faults, until one fails", Args: between(0, 1),
		Long: `Try to break this program: run it in simulated clusters full of faults, until one
fails, the time is over, or it is broken off.

A cluster with its clients, disks, network, metadata store and faults is drawn from
a seed and lives in this process; nothing else is touched. What runs there is what
runs in production. First comes a canary, a run that must fail. What clients saw is
judged as lagan check does. The first failure is shown as a page, with the command that
repeats it: a seed does the same again, event by event, in the same build of this program.

With --seed one seed is run, with SCRIPT the run that a file describes (- is standard
input). docs/simulation.md says what is broken and checked, and how to read a failure.

Exit codes: 0 nothing failed, 1 something did, 2 the command makes no sense.`,
		Example: "  lagan sim --for 1h -j 2\n  lagan sim --for 1h -o json | jq .seeds_per_minute\n  lagan sim --seed 0x2a --log",
		RunE: func(c *cobra.Command, arguments []string) error {
			if err := m.check(c, len(arguments) > 0); err != nil {
				return usageError{err}
			}
			switch {
			case len(arguments) > 0:
				return m.script(arguments[0])
			case m.seed != 0:
				p := sim.NewPlan(m.seed, sim.Profile(m.profile))
				return m.once(p, m.again(m.seed), p.ShrinkCommand())
			}
			return m.swarm(c.Context())
		},
	})
	f := c.Flags()
	f.DurationVar(&m.lasts, "for", time.Hour, "how long to run seeds")
	f.IntVarP(&m.jobs, "jobs", "j", runtime.GOMAXPROCS(0), "how many runs at once")
	f.Uint64Var(&m.seeds, "seeds", 0, "after how many seeds to stop; 0: when the time is over")
	f.Uint64Var(&m.first, "first", 0, "the first seed; 0: one never seen before")
	f.DurationVar(&m.every, "every", 10*time.Second, "how often to print a line")
	f.StringVar(&m.profile, "profile", string(sim.Swarm), "which faults: "+profiles())
	f.StringVar(&m.pages, "pages", ".", "directory for what shows a failure; it is made when something fails")
	f.Uint64Var(&m.seed, "seed", 0, "run this seed alone, as in 0x2a")
	f.BoolVar(&m.log, "log", false, "print one line an event, of a seed or a script")
	f.StringVar(&m.traceOut, "trace-out", "", "write what happened, of a seed or a script, to this file: ui.perfetto.dev opens it")
	_ = c.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions(strings.Split(profiles(), ", "), cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return c
}

func profiles() string {
	var names []string
	for _, p := range sim.Profiles() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// check refuses what makes no sense, before anything is done.
func (m *simulation) check(c *cobra.Command, script bool) error {
	alone := m.seed != 0
	for _, x := range []struct {
		flags string
		right bool
		want  string
	}{
		{"for every jobs seeds first", !alone && !script, "is for many seeds, and one run is asked for"},
		{"log trace-out", alone || script, "is for one run: name it with --seed, or a script"},
		{"seed profile", !script, "is for seeds, and a script is given"},
	} {
		for flag := range strings.FieldsSeq(x.flags) {
			if c.Flags().Changed(flag) && !x.right {
				return fmt.Errorf("--%s %s", flag, x.want)
			}
		}
	}
	switch {
	case m.jobs < 1:
		return fmt.Errorf("--jobs is %d: give at least 1", m.jobs)
	case m.every <= 0 || m.lasts <= 0:
		return fmt.Errorf("--every is %v and --for %v: give more than 0", m.every, m.lasts)
	case !sim.Profile(m.profile).Known():
		return fmt.Errorf("there is no profile %q: use %s", m.profile, profiles())
	case m.log && m.output != asTable && m.output != asWide:
		return fmt.Errorf("--log prints lines for people: leave -o %s out", m.output)
	}
	return nil
}

// again is the command that runs a seed once more.
func (m *simulation) again(seed uint64) string {
	command := fmt.Sprintf("lagan sim --seed %#x", seed)
	if m.profile != string(sim.Swarm) {
		command += " --profile " + m.profile
	}
	return command
}

func (m *simulation) script(name string) error {
	in, again := m.In, "lagan sim SCRIPT"
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the file that the person names
		if err != nil {
			return usageError{err}
		}
		defer func() { _ = f.Close() }() // it was only read
		in, again = f, "lagan sim "+name
	}
	s, err := sim.ReadScript(in)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w (docs/simulation.md says how it has to look)", name, err)}
	}
	return m.once(s.Plan, again)
}

// swarm runs seeds until one fails.
func (m *simulation) swarm(ctx context.Context) error {
	if m.first == 0 {
		m.first = uint64(time.Now().UnixNano()) &^ 0xffff //nolint:gosec // whatever number it is
	}
	s := swarm.New(swarm.Params{
		Workers: m.jobs, First: m.first, Most: m.seeds, Profile: sim.Profile(m.profile), Every: m.every, Now: time.Now, Simulate: sim.Run,
	})
	v, err := s.Canary()
	if err != nil {
		return fmt.Errorf("simulation: %w", err)
	}
	began := simBegan{
		Canary: v.String(), broke: v.Invariant, Commit: built().commit(), Profile: m.profile, First: fmt.Sprintf("%#x", m.first), Jobs: m.jobs, ForSeconds: m.lasts.Seconds(),
	}
	if err := m.printOne(began, began.write); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, m.lasts)
	defer stop()
	var last *swarm.Line
	failed, err := s.Run(ctx, func(l *swarm.Line) error {
		last = l
		return m.printOne(l, func(w io.Writer) error { return writeSimLine(w, l) })
	})
	if err != nil {
		return err
	}
	if m.output == asTable || m.output == asWide {
		if err := writeHappened(m.Out, last, failed != nil); err != nil {
			return err
		}
	}
	if failed == nil {
		return nil
	}
	return m.verdict(failed, m.printOne, m.again(failed.Plan.Seed), failed.Plan.ShrinkCommand())
}

// once runs one plan.
func (m *simulation) once(p *sim.Plan, commands ...string) error {
	o := sim.Options{Checker: newSimChecker()}
	if m.log {
		o.Trace = m.Out
	}
	if m.traceOut != "" {
		o.Film = &sim.Film{}
	}
	r := sim.Run(p, o)
	if m.traceOut != "" {
		if err := writeFile(m.traceOut, func(w io.Writer) error { return o.Film.WriteTrace(w, r) }); err != nil {
			return err
		}
	}
	return m.verdict(r, m.print, commands...)
}

// verdict says what one run showed. A failure is explained, and is an error. The
// commands run it again, and make it small.
func (m *simulation) verdict(r *sim.Report, say func(value any, people func(io.Writer) error) error, commands ...string) error {
	out := simVerdictOf(r, commands)
	if r.Violation == nil {
		return say(out, out.write)
	}
	f, err := sim.Explain(r, newSimChecker(), out.Commit, commands...)
	if err != nil {
		return fmt.Errorf("simulation: %w", err)
	}
	if out.Violation.Files, err = f.Leave(m.pages); err != nil {
		return err
	}
	if err := say(out, out.write); err != nil {
		return err
	}
	return fmt.Errorf("simulation: seed %#x breaks %s: look at %s", r.Plan.Seed, r.Violation.Invariant, out.Violation.Files[0])
}

func newSimChecker() *linearizability.Checker {
	return &linearizability.Checker{Timeout: swarm.SearchMax}
}
