package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/lagan-storage/lagan/bench/load"
)

// Row is one figure as it is written to bench/out.
type Row struct {
	Bench     string      `json:"bench"`
	Metric    load.Metric `json:"metric"`
	Value     float64     `json:"value"`
	Unit      string      `json:"unit"`
	Against   string      `json:"against,omitempty"`   // the bench that is the reference
	Reference float64     `json:"reference,omitempty"` // its figure in the same run
	Ratio     float64     `json:"ratio,omitempty"`     // of Value to Reference
	Bar       string      `json:"bar,omitempty"`
	Holds     *bool       `json:"holds,omitempty"` // set where there is a bar
	Reason    string      `json:"reason,omitempty"`
}

// results is what the benches of a run came to.
type results struct {
	order   []string
	figures map[string]load.Figures
	against map[string]string // the bench that a bench is compared with
	skipped []skip
}

// skip says why benches were not run.
type skip struct{ bench, reason string }

func newResults() *results {
	return &results{figures: map[string]load.Figures{}, against: map[string]string{}}
}

func (r *results) add(bench, against string, f load.Figures) {
	if _, known := r.figures[bench]; !known {
		r.order = append(r.order, bench)
	}
	r.figures[bench], r.against[bench] = f, against
}

// metrics in the order in which rows are written.
func metrics() []load.Metric {
	return []load.Metric{
		load.P50, load.P99, load.P999, load.IOPS, load.MBps, load.CPU, load.Allocs,
		load.Time, load.RSS, load.Moved,
		load.Events, load.Seeds, load.SeedsByClock, load.Checked, load.Share, load.Faults, load.Operations,
	}
}

// rows judges every figure. A bar that no figure met is a row that does not hold.
func (r *results) rows(bars []Bar) (rows []Row) {
	met := make([]bool, len(bars))
	for _, bench := range r.order {
		for _, m := range metrics() {
			value, ok := r.figures[bench][m]
			if !ok {
				continue
			}
			if m == load.Allocs { // tables that grow and pools that lose some are no part of a write
				value = math.Round(value)
			}
			row := Row{Bench: bench, Metric: m, Value: round(value), Unit: m.Unit()}
			row.compare(r, r.against[bench])
			for i := range bars {
				if bars[i].fits(bench, m) {
					met[i] = true
					row.judge(r, &bars[i])
				}
			}
			rows = append(rows, row)
		}
	}
	for i := range bars {
		if !met[i] {
			rows = append(rows, r.notRun(&bars[i]))
		}
	}
	return rows
}

func (row *Row) compare(r *results, against string) {
	if reference := r.figures[against][row.Metric]; reference > 0 && row.Metric != load.Allocs {
		row.Against, row.Reference, row.Ratio = against, round(reference), round(row.Value/reference)
	}
}

func (row *Row) judge(r *results, b *Bar) {
	if b.Reference != "" {
		row.compare(r, b.Reference)
	}
	holds, text := b.judge(row.Value, r.figures[b.Reference][b.Metric])
	row.Bar, row.Holds = text, &holds
	if b.Reference != "" && row.Against != b.Reference {
		holds, row.Reason = false, b.Reference+" was not run"
	}
}

func (r *results) notRun(b *Bar) Row {
	row := Row{Bench: b.Bench, Metric: b.Metric, Unit: b.Metric.Unit(), Holds: new(bool), Reason: "not run"}
	_, row.Bar = b.judge(0, 1)
	for _, s := range r.skipped {
		if contestOf(s.bench) == contestOf(b.Bench) {
			row.Reason = "not run: " + s.reason
		}
	}
	return row
}

// round keeps four digits, and tenths at most: no run repeats more.
func round(x float64) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return 0
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x*scale) / scale
}

// writeRows writes one row a line.
func writeRows(w io.Writer, rows []Row) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for i := range rows {
		if err := e.Encode(&rows[i]); err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
	}
	return nil
}

// contestOf returns the first part of a bench's name.
func contestOf(bench string) string {
	contest, _, _ := strings.Cut(bench, "/")
	return contest
}
