package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const historyHead = `{"format":"lagan-history","version":1,"volume":"01000000000000000000000000000000"}
{"kind":"write","client":1,"call":1000,"return":2000,"outcome":"ok","block":7,"values":["1:1"]}
{"kind":"write","client":1,"call":3000,"return":4000,"outcome":"ok","block":7,"values":["1:2"]}
{"kind":"fault","call":3500,"return":4500,"text":"node n1 killed"}
{"kind":"attach","call":4400,"era":2}
`

// run runs a command as main does, with nothing on standard input.
func run(t *testing.T, arguments ...string) (code int, out, complaint string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Run(t.Context(), arguments, Streams{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

// historyFile writes a history that ends with more.
func historyFile(t *testing.T, more string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "run.history")
	if err := os.WriteFile(name, []byte(historyHead+more), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCheckSaysWhatIsWrongInWords(t *testing.T) {
	stale := historyFile(t, `{"kind":"read","client":2,"call":5000,"return":6000,"outcome":"ok","block":7,"values":["1:1"]}`)
	page := filepath.Join(t.TempDir(), "failure.html")
	code, out, complaint := run(t, "check", stale, "--html", page)
	if code != exitNotDone || !strings.Contains(complaint, "is not linearizable: look at block 7") {
		t.Errorf("exit %d, %q", code, complaint)
	}
	for _, want := range []string{
		"3 operations by 2 clients on 1 block of volume 01",
		"NOT right, block 7: not linearizable",
		"what the latest write before it left",
		"1. client 2's read (called at 5µs, returned at 6µs) returned value 1:1",
		"3. client 1's write of value 1:2 (called at 3µs, acknowledged at 4µs): it had replaced what 1 returned before 1 began",
		"- attach of era 2 at 4.4µs",
		"- node n1 killed from 3.5µs to 4.5µs",
		"zones says illegal, porcupine says illegal",
		page,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	text, err := os.ReadFile(page) //nolint:gosec // this test's own
	if err != nil || !strings.Contains(string(text), "node n1 killed") || !strings.Contains(string(text), "<svg") {
		t.Errorf("the page: %v\n%s", err, text)
	}
}

func TestCheckShowsTheLatestOfManyFaults(t *testing.T) {
	more := `{"kind":"read","client":2,"call":5000,"return":6000,"outcome":"ok","block":7,"values":["1:1"]}`
	for i := range 30 {
		more += fmt.Sprintf("\n"+`{"kind":"fault","call":%d,"text":"disk %d stalled"}`, 4500+i, i)
	}
	_, out, _ := run(t, "check", historyFile(t, more))
	if !strings.Contains(out, "12 things before") || strings.Contains(out, "disk 9 stalled") || !strings.Contains(out, "disk 10 stalled at 4.51µs") || !strings.Contains(out, "disk 29") {
		t.Error(out)
	}
}

func TestCheckPrintsJSON(t *testing.T) {
	stale := historyFile(t, `{"kind":"read","client":2,"call":5000,"return":6000,"outcome":"ok","block":7,"values":["1:1"]}`)
	code, out, _ := run(t, "check", stale, "-o", "json")
	var got historyVerdict
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if v := got.Violation; code != exitNotDone || got.Linearizable || v == nil || v.Block != 7 || v.Rule != "not linearizable" ||
		len(v.Operations) != 3 || len(v.Meanwhile) != 2 || v.Zones != "illegal" || v.Porcupine != "illegal" {
		t.Errorf("exit %d, %s", code, out)
	}
}

func TestCheckAcquitsWhatIsRight(t *testing.T) {
	right := historyFile(t, `{"kind":"read","client":2,"call":5000,"return":6000,"outcome":"ok","block":7,"values":["1:2"]}`)
	page := filepath.Join(t.TempDir(), "failure.html")
	code, out, complaint := run(t, "check", right, "--html", page)
	if code != exitDone || complaint != "" || !strings.Contains(out, "linearizable: an order explains every answer") {
		t.Errorf("exit %d, %q, %q", code, out, complaint)
	}
	if _, err := os.Stat(page); err == nil {
		t.Error("a page shows what is wrong, and nothing is")
	}
	if code, out, _ := run(t, "check", right, "-o", "json"); code != exitDone || !strings.Contains(out, `"linearizable": true`) || strings.Contains(out, "violation") {
		t.Errorf("exit %d, %s", code, out)
	}
}

// TestCheckLooksAcrossBlocks says that a prefix that is none is found as well.
func TestCheckLooksAcrossBlocks(t *testing.T) {
	torn := historyFile(t, `{"kind":"write","client":1,"call":5000,"return":5100,"outcome":"ok","block":8,"values":["1:3"],"place":{"era":1,"seq":1}}
{"kind":"write","client":1,"call":5200,"return":5300,"outcome":"ok","block":9,"values":["1:4"],"place":{"era":1,"seq":2}}
{"kind":"power loss","call":5400}
{"kind":"read","client":2,"call":5500,"return":5600,"outcome":"ok","block":8,"values":["zeroes","1:4"]}`)
	code, out, _ := run(t, "check", torn)
	if code != exitNotDone || !strings.Contains(out, "not a prefix") || !strings.Contains(out, "zones says not asked") {
		t.Errorf("exit %d, %s", code, out)
	}
}

func TestCheckRefusesWhatItCannotUse(t *testing.T) {
	for _, c := range []struct {
		arguments []string
		says      string
	}{
		{[]string{"check"}, "check HISTORY"},
		{[]string{"check", filepath.Join(t.TempDir(), "none")}, "no such file"},
		{[]string{"check", t.TempDir()}, "is a directory"},
		{[]string{"check", "-"}, "the file is empty"},
		{[]string{"check", historyFile(t, `{"kind":"read","call":5000,"outcome":"maybe","block":1}`)}, `line 6: field "outcome"`},
		{[]string{"check", historyFile(t, ""), "--timeout", "-1s"}, "timeout -1s"},
	} {
		code, out, complaint := run(t, c.arguments...)
		if code != exitUsage || out != "" || !strings.Contains(complaint, c.says) {
			t.Errorf("lagan %v: exit %d, %q, %q; want %q", c.arguments, code, out, complaint, c.says)
		}
	}
	stale := historyFile(t, `{"kind":"read","client":2,"call":5000,"return":6000,"outcome":"ok","block":7,"values":["1:1"]}`)
	if code, _, complaint := run(t, "check", stale, "--html", filepath.Join(t.TempDir(), "none", "page")); code != exitNotDone || !strings.Contains(complaint, "write the page") {
		t.Errorf("exit %d, %q", code, complaint)
	}
}
