package bench

import (
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/load"
)

func TestEveryBarIsReadAndHasItsOwnNumber(t *testing.T) {
	bars, err := Bars()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, b := range bars {
		if seen[b.Number] {
			t.Errorf("two bars for %q: one line a number", b.Number)
		}
		seen[b.Number] = true
	}
}

func limit(x float64) *float64 { return &x }

func TestBarIsJudgedByValueOrRatio(t *testing.T) {
	for _, c := range []struct {
		name             string
		bar              Bar
		value, reference float64
		holds            bool
		text             string
	}{
		{"at most", Bar{AtMost: limit(5)}, 5, 0, true, "≤ 5"},
		{"above", Bar{AtMost: limit(5)}, 5.1, 0, false, "≤ 5"},
		{"at least", Bar{AtLeast: limit(5)}, 5, 0, true, "≥ 5"},
		{"below", Bar{AtLeast: limit(5)}, 4.9, 0, false, "≥ 5"},
		{"ratio at most", Bar{RatioAtMost: limit(2.5)}, 5, 2, true, "≤ 2.5 ×"},
		{"ratio above", Bar{RatioAtMost: limit(2.5)}, 5.1, 2, false, "≤ 2.5 ×"},
		{"ratio at least", Bar{RatioAtLeast: limit(0.5)}, 5, 10, true, "≥ 0.5 ×"},
		{"ratio below", Bar{RatioAtLeast: limit(0.5)}, 4.9, 10, false, "≥ 0.5 ×"},
		{"no reference", Bar{RatioAtMost: limit(2.5)}, 5, 0, false, "≤ 2.5 ×"},
		{"fast network: value", Bar{AtMost: limit(150), WhileReferenceAtMost: limit(76), RatioAtMost: limit(2)}, 149, 20, true, "≤ 150"},
		{"fast network: value above", Bar{AtMost: limit(150), WhileReferenceAtMost: limit(76), RatioAtMost: limit(2)}, 151, 76, false, "≤ 150"},
		{"slow network: ratio", Bar{AtMost: limit(150), WhileReferenceAtMost: limit(76), RatioAtMost: limit(2)}, 160, 80, true, "≤ 2 ×"},
		{"slow network: ratio above", Bar{AtMost: limit(150), WhileReferenceAtMost: limit(76), RatioAtMost: limit(2)}, 161, 80, false, "≤ 2 ×"},
	} {
		holds, text := c.bar.judge(c.value, c.reference)
		if holds != c.holds || !strings.HasPrefix(text, c.text) {
			t.Errorf("%s: holds %t as %q, want %t as %q", c.name, holds, text, c.holds, c.text)
		}
	}
}

func TestBarWithoutOneLimitIsRefused(t *testing.T) {
	for name, b := range map[string]Bar{
		"none":                {Bench: "a"},
		"two":                 {Bench: "a", AtMost: limit(1), AtLeast: limit(1)},
		"ratio to nothing":    {Bench: "a", RatioAtMost: limit(1)},
		"condition, no ratio": {Bench: "a", Reference: "b", AtMost: limit(1), WhileReferenceAtMost: limit(1)},
		"pattern":             {Bench: "[", AtMost: limit(1)},
	} {
		if b.check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRowsJudgeEveryBenchThatFits(t *testing.T) {
	r := newResults()
	r.add("write/raw", "write/raw", load.Figures{load.P50: 50})
	r.add("write/2/plain", "write/raw", load.Figures{load.P50: 100, load.IOPS: 1})
	r.add("write/2/tls", "write/raw", load.Figures{load.P50: 101})
	rows := r.rows([]Bar{{Bench: "write/2/*", Metric: load.P50, Reference: "write/raw", RatioAtMost: limit(2)}})
	judged := map[string]bool{}
	for _, row := range rows {
		if row.Holds != nil {
			judged[row.Bench] = *row.Holds
			if row.Reference != 50 || row.Ratio != row.Value/50 {
				t.Errorf("%s: reference %g, ratio %g", row.Bench, row.Reference, row.Ratio)
			}
		}
	}
	if len(judged) != 2 || !judged["write/2/plain"] || judged["write/2/tls"] {
		t.Errorf("judged %v, want plain to hold and tls not to", judged)
	}
	if allHold(rows) {
		t.Error("all hold although one does not")
	}
}

func TestWhatWasNotRunDoesNotHold(t *testing.T) {
	r := newResults()
	r.skipped = append(r.skipped, skip{"ext4/*", "needs root"})
	rows := r.rows([]Bar{
		{Bench: "ext4/2-copies/*", Metric: load.P50, AtMost: limit(2)},
		{Bench: "forgotten", Metric: load.P50, AtMost: limit(2)},
	})
	if len(rows) != 2 || allHold(rows) || *rows[0].Holds || *rows[1].Holds {
		t.Fatalf("rows %+v, want two that do not hold", rows)
	}
	if rows[0].Reason != "not run: needs root" || rows[1].Reason != "not run" {
		t.Errorf("reasons %q and %q", rows[0].Reason, rows[1].Reason)
	}
}

func TestBarWithoutItsReferenceDoesNotHold(t *testing.T) {
	r := newResults()
	r.add("write/2", "", load.Figures{load.P50: 1})
	rows := r.rows([]Bar{{Bench: "write/2", Metric: load.P50, Reference: "write/loopback", AtMost: limit(150), WhileReferenceAtMost: limit(76), RatioAtMost: limit(2)}})
	if len(rows) != 1 || *rows[0].Holds || rows[0].Reason == "" {
		t.Errorf("rows %+v, want one that does not hold and says why", rows)
	}
}

func TestRowsAreOneALine(t *testing.T) {
	r := newResults()
	r.add("write/2", "", load.Figures{load.P50: 1.23456, load.IOPS: 12345.6})
	var out strings.Builder
	if err := writeRows(&out, r.rows([]Bar{{Bench: "write/2", Metric: load.P50, AtMost: limit(2)}})); err != nil {
		t.Fatal(err)
	}
	const want = `{"bench":"write/2","metric":"p50","value":1.235,"unit":"µs","bar":"≤ 2 µs","holds":true}
{"bench":"write/2","metric":"iops","value":12350,"unit":"1/s"}
`
	if out.String() != want {
		t.Errorf("rows:\n%swant:\n%s", out.String(), want)
	}
}
