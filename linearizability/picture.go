package linearizability

import (
	_ "embed" // the page is a file beside this one
	"fmt"
	"html"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// searchShownMax is how many accesses porcupine's picture may have: it holds an
// order of all of them for each.
const searchShownMax = 500

//go:embed picture.html
var pictureHTML string // constant table: the page of a violation

// picture is what the page shows.
type picture struct {
	Title, Meaning, Sentence string
	Ops                      []string
	Events                   []Event
	Zones, Porcupine         Verdict
	Timeline                 *timeline
	Search                   template.HTMLAttr // porcupine's own page, or nothing
	SearchRows, NoSearch     string
}

// Visualize writes a page that needs nothing else: what is wrong in words, the
// operations that contradict each other, what happened meanwhile, what both
// judges said, a timeline, and porcupine's own picture of how far it got. It
// searches again.
func (v *Violation) Visualize(w io.Writer) error {
	page, err := template.New("violation").Parse(pictureHTML)
	if err != nil {
		return fmt.Errorf("draw violation: %w", err)
	}
	p := picture{
		Title:   fmt.Sprintf("Volume %s, block %d: %s", v.Volume, v.Block, v.Rule),
		Meaning: v.Rule.Meaning(), Sentence: v.String(), Zones: v.Zones, Porcupine: v.Porcupine,
	}
	if len(v.Ops) > 0 {
		p.Events, p.Timeline = v.Events(), timelineOf(v)
	}
	for i := range v.Ops {
		p.Ops = append(p.Ops, v.Describe(i))
	}
	switch {
	case len(v.accesses) == 0:
		p.NoSearch = "Nothing: no search was needed, or none ended."
	case len(v.accesses) > searchShownMax:
		p.NoSearch = fmt.Sprintf("The shortest piece that is illegal has %d operations, too many for its picture.", len(v.accesses))
	default:
		var search strings.Builder
		if p.SearchRows, err = v.visualizeSearch(&search); err != nil {
			return fmt.Errorf("draw violation: %w", err)
		}
		p.Search = template.HTMLAttr(`srcdoc="` + html.EscapeString(search.String()) + `"`) //nolint:gosec // escaped on this line
	}
	if err := page.Execute(w, p); err != nil {
		return fmt.Errorf("draw violation: %w", err)
	}
	return nil
}

// visualizeSearch writes porcupine's page and says what its rows are.
func (v *Violation) visualizeSearch(w io.Writer) (rows string, err error) {
	p := part{accesses: v.accesses, from: v.from}
	model := p.model()
	model.DescribeOperation = func(input, _ any) string {
		a := input.(*access)
		if n := slices.Index(v.Ops, v.history.opOf(a.entry)); n >= 0 {
			return fmt.Sprintf("(%d) %s", n+1, a)
		}
		return a.String()
	}
	rowOf, rows := v.rows()
	_, info := porcupine.CheckOperationsVerbose(model, p.operations(rowOf), 0)
	info.AddAnnotations(v.annotations())
	return rows, porcupine.Visualize(model, info, w)
}

// annotations returns what happened during the failing part.
func (v *Violation) annotations() (list []porcupine.Annotation) {
	from, to := int64(never), int64(0)
	for i := range v.accesses {
		a := &v.accesses[i]
		from = min(from, a.call)
		if to = max(to, a.call); a.ret != never {
			to = max(to, a.ret)
		}
	}
	var rows lanes
	events := v.history.events(from, to)
	for _, e := range events[max(0, len(events)-eventsMax):] {
		start, end := max(e.From, from), min(e.To, to)
		tag, colour := "event", "#f4b6c0"
		if e.fault {
			colour = "#ffd9a0"
			if n := rows.take(start, end); n > 0 {
				tag = fmt.Sprintf("fault %d", n+1)
			} else {
				tag = "fault"
			}
		}
		list = append(list, porcupine.Annotation{
			Tag: tag, Start: start, End: end, Description: harmless(e.Text), Details: harmless(e.String()), BackgroundColor: colour,
		})
	}
	return list
}

// harmless takes from a text what porcupine's page would read as markup.
func harmless(text string) string {
	return strings.NewReplacer("<", "‹", ">", "›", "&", "+").Replace(text)
}

// rows numbers the clients of the failing part without gaps; events of the
// volume come last.
func (v *Violation) rows() (rowOf func(*access) int, words string) {
	clients := []uint16{}
	for i := range v.accesses {
		if a := &v.accesses[i]; a.kind != PowerLoss && a.kind != Flush {
			clients = append(clients, v.history.at(a.entry).client)
		}
	}
	slices.Sort(clients)
	clients = slices.Compact(clients)
	var names []string
	for i, c := range clients {
		names = append(names, fmt.Sprintf("%d: client %d", i, c))
	}
	rowOf = func(a *access) int {
		if a.kind == PowerLoss || a.kind == Flush {
			return len(clients)
		}
		row, _ := slices.BinarySearch(clients, v.history.at(a.entry).client)
		return row
	}
	if slices.ContainsFunc(v.accesses, func(a access) bool { return a.kind == PowerLoss || a.kind == Flush }) {
		names = append(names, fmt.Sprintf("%d: power losses, and the flushes that count for them", len(clients)))
	}
	return rowOf, "Its rows are " + strings.Join(names, ", ") + "; the others say what happened meanwhile."
}
