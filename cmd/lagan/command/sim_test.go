package command

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// TestSimulationThatIsBrokenOffIsDone says so: whoever ends it has seen enough.
func TestSimulationThatIsBrokenOffIsDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := &ends{after: `"seeds":`, end: cancel}
	var complaint strings.Builder
	code := Run(ctx, []string{"sim", "--profile", "none", "--every", "1ns", "-o", "json", "--pages", t.TempDir()}, Streams{Out: out, Err: &complaint})
	if code != exitDone || complaint.Len() > 0 {
		t.Errorf("exit %d, %s", code, complaint.String())
	}
	var last map[string]any
	lines := strings.Split(strings.TrimSpace(out.text.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"seeds_per_minute", "events_per_second", "checked_operations_per_second", "acknowledged_ratio", "runs_with", "runs_with_mark"} {
		if last[name] == nil {
			t.Errorf("the last line has no %s: %v", name, last)
		}
	}
}

// ends ends what writes to it once it has written a word.
type ends struct {
	text  strings.Builder
	after string
	end   func()
}

func (e *ends) Write(p []byte) (int, error) {
	if strings.Contains(string(p), e.after) {
		e.end()
	}
	return e.text.Write(p)
}
