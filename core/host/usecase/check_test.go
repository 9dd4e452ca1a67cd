package usecase

import (
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/volume"
)

func TestCheckNamesTheNodeThatKnowsOfIt(t *testing.T) {
	const id = "00112233445566778899aabbccddeeff"
	for text, want := range map[string]string{
		"check-" + id + "-a":        "a",
		"check-" + id + "-rack-2.b": "rack-2.b",
	} {
		if node, check := keeperOfCheck(text); !check || node != want {
			t.Errorf("%s: %q, %v", text, node, check)
		}
	}
	for _, text := range []string{"check-" + id, "check-" + id + "-", "check-a", "check-12-a", "scrub-" + id, "growth-" + id, ""} {
		if node, check := keeperOfCheck(text); check {
			t.Errorf("%s is the check of node %q", text, node)
		}
	}
}

func TestFindingsOfACheckSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		about  string
		report host.ComparisonReport
		want   []string // parts, in order; none: nothing is said
	}{
		{"under way", host.ComparisonReport{Going: true}, nil},
		{"equal", host.ComparisonReport{Comparison: volume.Comparison{Ended: true}}, nil},
		{"waits", host.ComparisonReport{Going: true, Comparison: volume.Comparison{Waits: "x"}}, []string{"waits: x"}},
		{"waited once", host.ComparisonReport{Broken: "y", Comparison: volume.Comparison{Waits: "x"}}, []string{"it did not come to its end: y", "lagan volume check db"}},
		{"different", host.ComparisonReport{Comparison: volume.Comparison{Ended: true, Blocks: 2}}, []string{"2 blocks are not the same on all copies, and nothing was changed", "lagan replica rm db NODE"}},
		{"different and damaged", host.ComparisonReport{Comparison: volume.Comparison{Blocks: 1, Damaged: 3}}, []string{"1 block is not", "repaired from another: 3", "check again"}},
	} {
		rest := strings.Join(findings(&c.report, "db"), "; ")
		if (rest == "") != (c.want == nil) {
			t.Errorf("%s: %q", c.about, rest)
		}
		for _, part := range c.want {
			_, after, found := strings.Cut(rest, part)
			if !found {
				t.Errorf("%s: %q does not say %q", c.about, rest, part)
			}
			rest = after
		}
	}
}
