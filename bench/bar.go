package bench

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/lagan-storage/lagan/bench/load"
)

//go:embed bars.json
var barsFile []byte // the only place where a bar is set

// Bar is one number that must hold: one line of bars.json. Exactly one of the
// four limits is set, or AtMost and RatioAtMost with WhileReferenceAtMost, which
// says up to which reference the first of them applies.
type Bar struct {
	Number    string      `json:"number"` // what the number is, for people
	Bench     string      `json:"bench"`  // a pattern; every bench that fits is judged
	Metric    load.Metric `json:"metric"`
	Reference string      `json:"reference,omitempty"` // a bench of the same run

	AtMost       *float64 `json:"atMost,omitempty"`
	AtLeast      *float64 `json:"atLeast,omitempty"`
	RatioAtMost  *float64 `json:"ratioAtMost,omitempty"` // of the value to the reference's
	RatioAtLeast *float64 `json:"ratioAtLeast,omitempty"`

	WhileReferenceAtMost *float64 `json:"whileReferenceAtMost,omitempty"`
}

// Bars returns the bars of bars.json.
func Bars() ([]Bar, error) {
	var bars []Bar
	d := json.NewDecoder(strings.NewReader(string(barsFile)))
	d.DisallowUnknownFields()
	if err := d.Decode(&bars); err != nil {
		return nil, fmt.Errorf("bars.json: %w", err)
	}
	for i := range bars {
		if err := bars[i].check(); err != nil {
			return nil, fmt.Errorf("bars.json: %s: %w", bars[i].Number, err)
		}
	}
	return bars, nil
}

func (b *Bar) check() error {
	limits := 0
	for _, l := range []*float64{b.AtMost, b.AtLeast, b.RatioAtMost, b.RatioAtLeast} {
		if l != nil {
			limits++
		}
	}
	switch _, err := path.Match(b.Bench, ""); {
	case err != nil:
		return err
	case b.Reference == "" && (b.RatioAtMost != nil || b.RatioAtLeast != nil):
		return fmt.Errorf("a ratio without a reference")
	case b.WhileReferenceAtMost != nil && (b.AtMost == nil || b.RatioAtMost == nil || limits != 2):
		return fmt.Errorf("two limits are atMost and ratioAtMost")
	case b.WhileReferenceAtMost == nil && limits != 1:
		return fmt.Errorf("%d limits, want one", limits)
	}
	return nil
}

// fits reports whether b judges this metric of this bench.
func (b *Bar) fits(bench string, m load.Metric) bool {
	ok, err := path.Match(b.Bench, bench)
	return ok && err == nil && b.Metric == m
}

// judge returns whether value keeps the bar and how the bar reads.
func (b *Bar) judge(value, reference float64) (holds bool, text string) {
	ratio := value / reference
	switch {
	case b.WhileReferenceAtMost != nil && reference > *b.WhileReferenceAtMost, b.AtMost == nil && b.RatioAtMost != nil:
		return reference > 0 && ratio <= *b.RatioAtMost, fmt.Sprintf("≤ %g × %s", *b.RatioAtMost, b.Reference)
	case b.RatioAtLeast != nil:
		return reference > 0 && ratio >= *b.RatioAtLeast, fmt.Sprintf("≥ %g × %s", *b.RatioAtLeast, b.Reference)
	case b.AtLeast != nil:
		return value >= *b.AtLeast, fmt.Sprintf("≥ %g %s", *b.AtLeast, b.Metric.Unit())
	}
	return value <= *b.AtMost, fmt.Sprintf("≤ %g %s", *b.AtMost, b.Metric.Unit())
}
