package sim

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/linearizability"
)

var pagesFlag = flag.String("pages", "out", "the folder in which a failing TestSeed, TestScript and TestShrink leave the page that shows it")

// explain runs a failing plan twice more: to see whether it is the same run each
// time, and to film it. It returns where the page is.
func explain(t *testing.T, p *Plan, commands ...string) string {
	t.Helper()
	checker := &linearizability.Checker{Timeout: searchMax}
	if d := Compare(func(o Options) *Report {
		o.Checker = checker
		return Run(p, o)
	}); d != nil {
		t.Errorf("and it is not the same run each time: %v", d)
	}
	film := &Film{}
	r := Run(p, Options{Film: film, Checker: checker})
	if r.Violation == nil {
		return "no page: it did not fail while it was filmed"
	}
	if err := os.MkdirAll(*pagesFlag, 0o755); err != nil {
		t.Fatal(err)
	}
	page := &Page{Film: film, Report: r, Commands: commands}
	if found := r.Violation.Found; found != nil {
		page.Picture = fmt.Sprintf("history-%x.html", p.Seed)
		leave(t, page.Picture, func(b *bytes.Buffer) error { return found.Visualize(b) })
	}
	return leave(t, fmt.Sprintf("failure-%x.html", p.Seed), func(b *bytes.Buffer) error { return page.Write(b) })
}

func leave(t *testing.T, name string, write func(*bytes.Buffer) error) string {
	t.Helper()
	var text bytes.Buffer
	path := filepath.Join(*pagesFlag, name)
	if err := write(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// fails is a run that a test says failed: what the page shows is real.
func fails(t *testing.T, film *Film) *Report {
	t.Helper()
	r := Run(NewPlan(3, Swarm), Options{Film: film})
	if r.Violation != nil {
		t.Fatal(r.Violation)
	}
	r.Violation = &Violation{Invariant: "I1", Text: "</script> is said to be wrong", Step: r.Steps, At: r.Virtual}
	return r
}

func TestFilmShowsWhatHappenedAndChangesNothing(t *testing.T) {
	film := &Film{}
	with, without := fails(t, film), Run(NewPlan(3, Swarm), Options{})
	if with.Hash != without.Hash {
		t.Error("a run that is filmed goes another way")
	}
	kinds := map[string]int{}
	arrived, lost := 0, 0
	for i := range film.Shots {
		s := &film.Shots[i]
		kinds[s.Kind]++
		switch {
		case s.Kind != shotMessage:
		case s.Until == 0:
			lost++
		case s.Until < s.At:
			t.Fatalf("a message arrives before it is sent: %+v", s)
		default:
			arrived++
		}
	}
	for _, kind := range []string{shotNote, shotUp, shotFault, shotMessage, shotAsk, shotAnswer, shotConfig, shotServe, shotUnsynced, shotHeal} {
		if kinds[kind] == 0 {
			t.Errorf("nothing of kind %s", kind)
		}
	}
	if kinds[shotAsk] < with.Counts.Asked || kinds[shotFault] != len(with.Struck) {
		t.Errorf("%d requests and %d faults are shown, %d and %d there were", kinds[shotAsk], kinds[shotFault], with.Counts.Asked, len(with.Struck))
	}
	if arrived < 100 || lost == 0 {
		t.Errorf("%d messages arrived, %d were lost", arrived, lost)
	}
}

func TestPageIsOneFileThatAsksForNothingElse(t *testing.T) {
	film := &Film{}
	r := fails(t, film)
	var text bytes.Buffer
	if err := (&Page{Film: film, Report: r, Commands: []string{"make replay"}}).Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"http:", "https:", "src=", "@import", "fetch(", "{{"} {
		if bytes.Contains(text.Bytes(), []byte(word)) {
			t.Errorf("the page contains %q", word)
		}
	}
	if n := bytes.Count(text.Bytes(), []byte("</script>")); n != 2 {
		t.Errorf("%d scripts end, there are two: what the page shows may say so too", n)
	}
	_, data, _ := bytes.Cut(text.Bytes(), []byte(`type="application/json">`))
	data, _, _ = bytes.Cut(data, []byte("</script>"))
	var shown struct {
		Text  string `json:"text"`
		Shots []Shot `json:"shots"`
	}
	if err := json.Unmarshal(data, &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Text != r.Violation.Text || len(shown.Shots) != len(film.Shots) {
		t.Errorf("shown are %q and %d of %d shots", shown.Text, len(shown.Shots), len(film.Shots))
	}
	if few := film.fewer(1000); len(few) > 2000 || len(few) < 500 {
		t.Errorf("%d shots are left of %d when there should be about 1000", len(few), len(film.Shots))
	}
}

func TestComparisonPrintsTheFirstEventThatDiffers(t *testing.T) {
	p := NewPlan(4, Swarm)
	if d := Compare(func(o Options) *Report { return Run(p, o) }); d != nil {
		t.Fatalf("one seed gives two runs: %v", d)
	}
	second := false
	d := Compare(func(o Options) *Report {
		q := p.clone()
		if second {
			q.Faults = q.Faults[1:]
		}
		second = true
		return Run(q, o)
	})
	if d == nil {
		t.Fatal("a run without its first fault is the same")
	}
	if want := "fault " + p.Faults[0].String(); !strings.Contains(d.First, want) || strings.Contains(d.Second, want) {
		t.Errorf("the first event that differs is %q, it says:\n%v", want, d)
	}
}
