package sim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// readTrace reads a trace as its viewers do: an object with a list of events, none
// of which has a field that the format does not know.
func readTrace(t *testing.T, text []byte) []traceEvent {
	t.Helper()
	var file struct {
		Unit   string            `json:"displayTimeUnit"`
		About  map[string]string `json:"otherData"`
		Events []traceEvent      `json:"traceEvents"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	if file.Unit != "ms" || file.About["seed"] == "" || file.About["violation"] == "" {
		t.Errorf("the head: %q, %v", file.Unit, file.About)
	}
	return file.Events
}

// TestTraceHasWhatItsFormatAsksFor checks events against the Trace Event Format:
// which fields each phase needs, that slices of a thread nest, and that an arrow
// has two ends, each inside a slice.
func TestTraceHasWhatItsFormatAsksFor(t *testing.T) {
	film := &Film{}
	r := fails(t, film)
	var text bytes.Buffer
	if err := film.WriteTrace(&text, r); err != nil {
		t.Fatal(err)
	}
	events := readTrace(t, text.Bytes())
	phases, categories, names := map[string]int{}, map[string]int{}, map[string]int{}
	slicesOf := map[[2]int][]traceEvent{}
	for i := range events {
		e := &events[i]
		phases[e.Phase]++
		categories[e.Category]++
		if e.Name == "" || e.Process < 1 || e.At < 0 {
			t.Fatalf("an event without name, process or time: %+v", e)
		}
		right := map[string]bool{
			"X": e.Duration != nil && *e.Duration >= 0,
			"i": strings.Contains("tpg", e.Scope) && e.Scope != "",
			"C": len(e.Args) > 0,
			"M": len(e.Args) == 1,
			"s": e.ID > 0,
			"f": e.ID > 0 && e.Binds == "e",
		}[e.Phase]
		if !right {
			t.Fatalf("not a whole event of phase %q: %+v", e.Phase, e)
		}
		switch at := [2]int{e.Process, e.Thread}; {
		case e.Phase == "X":
			slicesOf[at] = append(slicesOf[at], *e)
		case e.Name == "process_name" || e.Name == "thread_name":
			names[e.Args["name"].(string)]++
		}
	}
	for _, phase := range []string{"X", "i", "C", "M", "s", "f"} {
		if phases[phase] == 0 {
			t.Errorf("no event of phase %q", phase)
		}
	}
	for _, category := range []string{"request", "message", "message,lost", "disk", "metadata", "process", "epoch", "fault", "takeover", "crash", shotHeal} {
		if categories[category] == 0 {
			t.Errorf("nothing of category %q", category)
		}
	}
	for _, name := range []string{"cluster", "clients", "n0", "client 0", "process", "orchestrator", "coordinator v0", "disk 0", "disk 0 transfers"} {
		if names[name] == 0 {
			t.Errorf("nothing is called %q", name)
		}
	}
	checkNesting(t, slicesOf)
	checkArrows(t, events, slicesOf)
}

// checkNesting wants slices of one thread beside or inside each other.
func checkNesting(t *testing.T, slicesOf map[[2]int][]traceEvent) {
	t.Helper()
	for thread, all := range slicesOf {
		slices.SortStableFunc(all, func(a, b traceEvent) int { return cmp.Compare(a.At, b.At) })
		for i := 1; i < len(all); i++ {
			if before := all[i-1]; before.At+*before.Duration > all[i].At+1e-6 {
				t.Fatalf("thread %v: %+v lasts into %+v", thread, before, all[i])
			}
		}
	}
}

// checkArrows wants two ends for each arrow, in order, at the beginning of a slice.
func checkArrows(t *testing.T, events []traceEvent, slicesOf map[[2]int][]traceEvent) {
	t.Helper()
	begins := map[int]traceEvent{}
	ended := 0
	for _, e := range events {
		if e.Phase != "s" && e.Phase != "f" {
			continue
		}
		at := [2]int{e.Process, e.Thread}
		if _, found := slices.BinarySearchFunc(slicesOf[at], e.At, func(s traceEvent, t float64) int { return cmp.Compare(s.At, t) }); !found {
			t.Fatalf("an arrow ends in no slice: %+v", e)
		}
		if e.Phase == "s" {
			begins[e.ID] = e
		}
	}
	for _, e := range events {
		if e.Phase != "f" {
			continue
		}
		ended++
		if b, known := begins[e.ID]; !known || b.At > e.At || b.Name != e.Name || b.Category != e.Category {
			t.Fatalf("%+v does not end what begins as %+v", e, b)
		}
	}
	if ended != len(begins) {
		t.Errorf("%d arrows begin, %d end", len(begins), ended)
	}
}

func TestTraceIsBounded(t *testing.T) {
	film := &Film{}
	r := fails(t, film)
	for len(film.Shots) < 3*traceShotsMax {
		film.Shots = append(film.Shots, film.Shots[:min(len(film.Shots), traceShotsMax)]...)
	}
	var text bytes.Buffer
	if err := film.WriteTrace(&text, r); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d shots are %d bytes", traceShotsMax, text.Len())
	if most := 64 << 20; text.Len() > most {
		t.Errorf("%d bytes, %d is the most", text.Len(), most)
	}
}
