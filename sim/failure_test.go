package sim

import (
	"bytes"
	"encoding/json"
	"flag"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/lagan-storage/lagan/linearizability"
)

var pagesFlag = flag.String("pages", "out", "the folder in which a failing TestSeed, TestScript and TestShrink leave the page that shows it")

// commit names the source: a test's program does not know it.
var commit = sync.OnceValue(func() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
})

// explain runs a failing plan again: to see whether it is the same run each
// time, and to leave what shows it. It returns where that is.
func explain(t *testing.T, r *Report, commands ...string) string {
	t.Helper()
	f, err := Explain(r, &linearizability.Checker{Timeout: searchMax}, commit(), commands...)
	if err != nil {
		t.Error(err)
		return "no page: there is no one run to show"
	}
	paths, err := f.Leave(*pagesFlag)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(paths, "\n    ")
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
		case s.Until == underWay:
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
