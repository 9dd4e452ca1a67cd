package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/lagan-storage/lagan/linearizability"
)

// Line says in one line what failed where, in which source, and the command that
// runs it again. What was wrong follows it, and may be long.
func (r *Report) Line(commit, command string) string {
	v := r.Violation
	return fmt.Sprintf("seed %#x, commit %s, step %d (%v), %s: %s", r.Plan.Seed, commit, v.Step, v.At, v.Invariant, command)
}

// Failure is a failing run that was run again, for people to look at.
type Failure struct {
	Report   *Report
	Film     *Film
	Events   []byte   // one line an event
	Commit   string   // of the source
	Commands []string // that run it once more, and make it small
}

// Explain runs a failing run three times more: twice to see whether it is the same
// each time, and once to film it. One that is not is an error: that is a bug of
// its own, and all there is to explain.
func Explain(r *Report, c *linearizability.Checker, commit string, commands ...string) (*Failure, error) {
	run := func(o Options) *Report {
		o.Checker = c
		return Run(r.Plan, o)
	}
	if d := Compare(run); d != nil {
		return nil, fmt.Errorf("seed %#x is not the same run each time: %v", r.Plan.Seed, d)
	}
	film, events := &Film{}, &bytes.Buffer{}
	again := run(Options{Film: film, Trace: events})
	if again.Violation == nil || again.Hash != r.Hash {
		return nil, fmt.Errorf("seed %#x is not the same run each time: it had hash %016x and %v, and has %016x and %v",
			r.Plan.Seed, r.Hash, r.Violation, again.Hash, again.Violation)
	}
	return &Failure{Report: again, Film: film, Events: events.Bytes(), Commit: commit, Commands: commands}, nil
}

// Leave writes the files that show the failure into a folder, which it makes, and
// returns where they are: the page first.
func (f *Failure) Leave(folder string) (paths []string, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("leave what shows the failure: %w", err)
	}
	leave := func(name string, write func(io.Writer) error) {
		if err != nil {
			return
		}
		path := filepath.Join(folder, name)
		var file *os.File
		if file, err = os.Create(path); err != nil { //nolint:gosec // in the folder that the person names
			return
		}
		if err = errors.Join(write(file), file.Close()); err == nil {
			paths = append(paths, path)
		}
	}
	seed := f.Report.Plan.Seed
	page := &Page{
		Film: f.Film, Report: f.Report, Commit: f.Commit, Commands: f.Commands,
		Events: fmt.Sprintf("events-%x.txt", seed), Trace: fmt.Sprintf("trace-%x.json", seed),
	}
	found := f.Report.Violation.Found
	if found != nil {
		page.Picture = fmt.Sprintf("history-%x.html", seed)
	}
	leave(fmt.Sprintf("failure-%x.html", seed), page.Write)
	if found != nil {
		leave(page.Picture, found.Visualize)
	}
	leave(page.Events, func(w io.Writer) error {
		_, err := w.Write(f.Events)
		return err
	})
	leave(page.Trace, func(w io.Writer) error { return f.Film.WriteTrace(w, f.Report) })
	if err != nil {
		return paths, fmt.Errorf("leave what shows the failure: %w", err)
	}
	return paths, nil
}
