package linearizability

import (
	"bytes"
	"encoding/json"
	"html"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

// draw returns the page of h's violation, and porcupine's page within it.
func draw(t *testing.T, h *History) (page, search string) {
	t.Helper()
	v := (&Checker{}).Check(h)
	if v == nil {
		v = CheckPrefix(h)
	}
	if v == nil {
		t.Fatal("nothing is wrong")
	}
	var out bytes.Buffer
	if err := v.Visualize(&out); err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`srcdoc="([^"]*)"`).FindStringSubmatch(out.String()); found != nil {
		search = html.UnescapeString(found[1])
	}
	return out.String(), search
}

func TestPageTellsTheStory(t *testing.T) {
	h := record(t, "a:w1 a. @2 a:w2 c:z c? a. a:f a. # @3 b:r b=1 b:r b=1")
	h.Fault(7_500_000, 10_500_000, "power of <b>n1</b> lost")
	page, search := draw(t, h)
	for _, want := range []string{
		"block 7: not linearizable", // which block
		"a read returns what the latest write before it left",
		"<li>client 1&#39;s read (called at 12ms, returned at 13ms) returned value 0:1</li>",
		"<li>client 0&#39;s write of value 0:2 (called at 4ms, acknowledged at 7ms): it had replaced what 1 returned before 1 began</li>",
		"<li>attach of era 3 at 11ms</li>",
		"<li>power loss at 10ms</li>",
		"<li>power of &lt;b&gt;n1&lt;/b&gt; lost from 7.5ms to 10.5ms</li>",
		">(1) r 0:1</text>", ">(3) power loss</text>",
		">client 2</text>", // which zeroed the block meanwhile
		"looks for an order of all operations, the judge of record: <b>illegal</b>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, want := range []string{"(1) read 0:1", "attach of era 3", "power of ‹b›n1‹/b› lost"} {
		if !strings.Contains(search, want) {
			t.Errorf("porcupine's picture does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}

// TestPageNeedsNothingElse looks for what a browser would fetch.
func TestPageNeedsNothingElse(t *testing.T) {
	page, search := draw(t, record(t, "a:w1 a. a:w2 a. b:r b=1"))
	for _, text := range []string{page, search} {
		clean := strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "") // a name, not an address
		if found := regexp.MustCompile(`https?://|@import|url\(| src=| href=`).FindString(clean); found != "" {
			t.Errorf("the page has %q", found)
		}
	}
}

func TestPageIsDrawnForEveryRule(t *testing.T) {
	damaged := NewHistory(block.VolumeID{1})
	damaged.ReturnData(4, damaged.Call(3, 0, Read, block.Range{First: 3, Count: 1}), []byte(strings.Repeat("x", 64)))
	prefix := stream{h: NewHistory(block.VolumeID{1})}
	prefix.run(Write, 1, 1, true)
	prefix.run(Write, 2, 2, true)
	prefix.run(PowerLoss, 0, 0, true)
	prefix.run(Read, 1, 0, true)
	prefix.run(Read, 2, 2, true)
	for says, h := range map[string]*History{
		"byte 0 is neither a stamp":         damaged,
		"is no prefix":                      prefix.h,
		"which nobody had written":          record(t, "a:w1 a. b:r b=9"),
		"of a write that had":               record(t, "a:w1 a! b:r b=1"),
		"before its write was called":       record(t, "b:r b=1 a:w1 a."),
		"zeroes not asked for":              record(t, "a:z a. a:w1 a. b:r b=0"),
		"the search would not fit the page": busyButWrong(t),
	} {
		page, _ := draw(t, h)
		if !strings.Contains(page, "<svg") || !strings.Contains(page, "(1) r ") {
			t.Errorf("%s: no timeline in\n%s", says, page)
		}
	}
}

// busyButWrong returns a long history of one block without quiet moments, in
// which one of the last reads is stale.
func busyButWrong(t *testing.T) *History {
	h := restless(2000)
	h.Return(h.last+1, Op(h.Len()-1), 3)
	if v := (&Checker{}).Check(h); v == nil || v.Rule != NotLinearizable || len(v.accesses) <= searchShownMax {
		t.Fatalf("got %v", v)
	}
	return h
}

// TestNarrowedPieceIsIllegalAndShort says that what a person is shown is
// evidence by itself.
func TestNarrowedPieceIsIllegalAndShort(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	checker := &Checker{}
	narrowed, sizes := 0, 0
	for range 200 {
		events := spoil(rng, runHonest(rng, 1+rng.IntN(4), 400, rng.IntN(2) == 0))
		v := checker.Check(record(t, strings.Join(events, " ")))
		if v == nil || v.Rule != NotLinearizable {
			continue
		}
		narrowed++
		sizes += len(v.accesses)
		if !checker.illegal(part{accesses: v.accesses, from: v.from}) {
			t.Fatalf("the piece is legal: %v", v)
		}
		if len(v.Ops) == 0 {
			t.Fatalf("nobody is blamed: %v", v)
		}
	}
	if narrowed < 50 || sizes/narrowed > 200 {
		t.Fatalf("%d pieces of %d accesses on average", narrowed, sizes/max(1, narrowed))
	}
	t.Logf("%d pieces of %d accesses on average", narrowed, sizes/narrowed)
}

func TestSummaryCounts(t *testing.T) {
	h := record(t, "a:w1 a! b:r @2 b=0 # a:f a? c:z c.")
	h.Return(h.last+1, h.Call(h.last+1, 7, Zero, block.Range{First: 6, Count: 2}))
	got, err := json.Marshal(h.Summary())
	const want = `{"operations":5,"blocks":2,"clients":4,"attaches":1,"power_losses":1,"unknown":1,"failed":1}`
	if err != nil || string(got) != want {
		t.Fatalf("got  %s, %v\nwant %s", got, err, want)
	}
}
