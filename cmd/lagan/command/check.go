package command

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/linearizability"
)

// historyVerdict is what check prints as JSON.
type historyVerdict struct {
	History      string                  `json:"history"`
	Volume       string                  `json:"volume"`
	Linearizable bool                    `json:"linearizable"`
	Summary      linearizability.Summary `json:"summary"`
	Violation    *historyViolation       `json:"violation,omitempty"`
}

// historyViolation is what is wrong with a history.
type historyViolation struct {
	Rule       string   `json:"rule"`
	Meaning    string   `json:"meaning"`
	Text       string   `json:"text"`
	Block      uint64   `json:"block"`
	Operations []string `json:"operations"` // that contradict each other
	Meanwhile  []string `json:"meanwhile"`  // attaches, power losses and faults
	Zones      string   `json:"zones"`
	Porcupine  string   `json:"porcupine"`
	Page       string   `json:"page,omitempty"`
}

func (s *session) check() *cobra.Command {
	var page string
	var timeout time.Duration
	c := hasNoNames(&cobra.Command{
		Use: "check HISTORY", Short: "Judge whether recorded requests were served by a volume that keeps its promises", Args: exactly(1),
		Long: `Judge a file that says what clients of a volume asked and were told, and when.

Each block has to behave as if every operation on it had happened at one moment
between its call and its answer, what a flush has made safe has to survive a loss
of power, and what failed must never be seen. docs/history-format.md describes the
file; - stands for standard input. No node is asked.

Exit codes: 0 the history is right, 1 it is not, 2 the file cannot be used.`,
		Example: "  lagan check run.history --html failure.html",
		RunE: func(_ *cobra.Command, arguments []string) error {
			return s.checkHistory(arguments[0], page, timeout)
		},
	})
	c.Flags().StringVar(&page, "html", "", "write a page that shows what is wrong to this file; none is written if nothing is")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "give up a search for an order of operations after this time, and say so; 0: never")
	return c
}

func (s *session) checkHistory(name, page string, timeout time.Duration) error {
	if timeout < 0 {
		return usageError{fmt.Errorf("timeout %v: a time has to be 0 or more", timeout)}
	}
	h, err := s.loadHistory(name)
	if err != nil {
		return usageError{err}
	}
	checker := linearizability.Checker{Timeout: timeout}
	wrong := checker.Check(h)
	if wrong == nil {
		wrong = linearizability.CheckPrefix(h)
	}
	verdict := historyVerdict{History: name, Volume: h.Volume().String(), Linearizable: wrong == nil, Summary: h.Summary()}
	if wrong != nil {
		if err := drawHistory(wrong, page); err != nil {
			return err
		}
		verdict.Violation = violationOf(wrong, page)
	}
	if err := s.print(verdict, verdict.write); err != nil {
		return err
	}
	switch {
	case wrong == nil:
		return nil
	case wrong.Rule == linearizability.TimedOut:
		return fmt.Errorf("history %s is not known to be linearizable: give it more than --timeout %v, or record fewer operations per block", name, timeout)
	}
	return fmt.Errorf("history %s is not linearizable: look at block %d, with --html FILE as a page", name, wrong.Block)
}

func (s *session) loadHistory(name string) (*linearizability.History, error) {
	if name == "-" {
		return linearizability.Load(s.In)
	}
	f, err := os.Open(name) //nolint:gosec // the file that the person names
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	h, err := linearizability.Load(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (docs/history-format.md says how it has to look)", name, err)
	}
	return h, nil
}

// drawHistory writes the page of a violation, whole or with an error.
func drawHistory(wrong *linearizability.Violation, page string) error {
	if page == "" {
		return nil
	}
	if err := writeFile(page, wrong.Visualize); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

func violationOf(wrong *linearizability.Violation, page string) *historyViolation {
	v := &historyViolation{
		Rule: wrong.Rule.String(), Meaning: wrong.Rule.Meaning(), Text: wrong.String(), Block: uint64(wrong.Block),
		Operations: []string{}, Meanwhile: []string{},
		Zones: wrong.Zones.String(), Porcupine: wrong.Porcupine.String(), Page: page,
	}
	for i := range wrong.Ops {
		v.Operations = append(v.Operations, wrong.Describe(i))
	}
	for _, e := range wrong.Events() {
		v.Meanwhile = append(v.Meanwhile, e.String())
	}
	return v
}

// meanwhileMax is how many events people are shown, the latest; the page and
// JSON have all.
const meanwhileMax = 20

// write is the verdict for people.
func (r *historyVerdict) write(w io.Writer) error {
	out := &lines{w: w}
	n := r.Summary
	out.add("%s: %s by %s on %s of volume %s; %s, %s", r.History, plural(n.Operations, "operation", "operations"), plural(n.Clients, "client", "clients"),
		plural(n.Blocks, "block", "blocks"), r.Volume, plural(n.Attaches, "attach", "attaches"), plural(n.PowerLosses, "power loss", "power losses"))
	v := r.Violation
	if v == nil {
		out.add("linearizable: an order explains every answer, and nothing is missing that had been made safe")
		return out.err
	}
	out.add("NOT right, block %d: %s\n\n%s", v.Block, v.Rule, wrapped(v.Meaning))
	if len(v.Operations) > 0 {
		out.add("\nThese contradict each other (a value is writer:seq, the seq-th write of that writer):")
	}
	for i, text := range v.Operations {
		out.add("  %d. %s", i+1, text)
	}
	if len(v.Meanwhile) > 0 {
		out.add("\nWhat happened meanwhile:")
	}
	earlier := max(0, len(v.Meanwhile)-meanwhileMax)
	if earlier > 0 {
		out.add("  - %d things before what follows: -o json has all", earlier)
	}
	for _, text := range v.Meanwhile[earlier:] {
		out.add("  - %s", text)
	}
	out.add("\nJudges: zones says %s, porcupine says %s.", v.Zones, v.Porcupine)
	if v.Page != "" {
		out.add("The page %s shows it.", v.Page)
	} else {
		out.add("With --html FILE there is a page that shows it.")
	}
	return out.err
}

// wrapped is a paragraph in lines that fit on a screen.
func wrapped(text string) string {
	const most = 100
	var all, line string
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > most {
			all, line = all+line+"\n", ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	return all + line
}

// lines writes lines until one fails.
type lines struct {
	w   io.Writer
	err error
}

func (l *lines) add(format string, values ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.w, format+"\n", values...)
	}
}
