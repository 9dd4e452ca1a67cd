package linearizability

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

func TestFileGivesTheHistoryBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		events := fenced(rng, spoil(rng, runHonest(rng, 3, 12, false)))
		h := record(t, strings.Join(events, " "))
		if rng.IntN(2) == 0 {
			data := make([]byte, 192)
			Stamp{Volume: h.volume, Block: 8, Seq: 1}.Encode(data[:64])
			data[70] = 1
			op := h.Call(h.last+10, 3, Read, block.Range{First: 7, Count: 3})
			h.ReturnData(h.last+10, op, data)
			h.Place(h.Call(h.last+10, 3, Zero, block.Range{First: 7, Count: 2}), block.Position{Era: 2, Seq: 9})
		}
		var first, second bytes.Buffer
		if err := h.Save(&first); err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatalf("%v in\n%s", err, first.String())
		}
		if err := loaded.Save(&second); err != nil {
			t.Fatal(err)
		}
		if first.String() != second.String() {
			t.Fatalf("saved\n%s\nloaded and saved again\n%s", first.String(), second.String())
		}
		before, after := (&Checker{}).Check(h), (&Checker{}).Check(loaded)
		if (before == nil) != (after == nil) || before != nil && before.String() != after.String() {
			t.Fatalf("verdict %v became %v", before, after)
		}
	}
}

const fileHead = `{"format":"lagan-history","version":1,"volume":"01000000000000000000000000000000"}` + "\n"

func TestFileLooksLikeItsDescription(t *testing.T) {
	h := record(t, "a:w1 a/3 b:w2 a. b/3 @4 a:r a=0 b:f b. #")
	h.Place(0, block.Position{Era: 3, Seq: 12})
	var saved strings.Builder
	if err := h.Save(&saved); err != nil {
		t.Fatal(err)
	}
	const want = fileHead + `{"kind":"write","call":1000000,"return":4000000,"outcome":"ok","block":7,"values":["0:1"],"era":3,"place":{"era":3,"seq":12}}
{"kind":"write","client":1,"call":3000000,"outcome":"unknown","fenced":6000000,"block":7,"values":["0:2"],"era":3}
{"kind":"attach","call":6000000,"era":4}
{"kind":"read","call":7000000,"return":8000000,"outcome":"ok","block":7,"values":["zeroes"]}
{"kind":"flush","client":1,"call":9000000,"return":10000000,"outcome":"ok"}
{"kind":"power loss","call":11000000}
`
	if saved.String() != want {
		t.Fatalf("got\n%s\nwant\n%s", saved.String(), want)
	}
}

func TestForeignFileIsOrderedByTime(t *testing.T) {
	h, err := Load(strings.NewReader(fileHead +
		`{"kind":"read","client":1,"call":20,"return":30,"outcome":"ok","block":7,"values":["zeroes"]}` + "\n" +
		`{"kind":"write","client":0,"call":10,"return":20,"outcome":"ok","block":7,"values":["0:1"]}` + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if v := (&Checker{}).Check(h); v != nil {
		t.Fatalf("the read began when the write ended, so they may overlap: %v", v)
	}
}

func TestFileOfAnotherSystemIsRead(t *testing.T) {
	lines := fileHead + `{"kind":"flush","call":5,"return":6,"outcome":"ok"}` + "\n"
	for _, text := range []string{byteOrderMark + lines, strings.ReplaceAll(lines, "\n", "\r\n"), strings.TrimSpace(lines)} {
		if h, err := Load(strings.NewReader(text)); err != nil || h.Len() != 1 {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestGoldenFileStaysWhatItIs(t *testing.T) {
	golden, err := os.ReadFile("testdata/golden.history")
	if err != nil {
		t.Fatal(err)
	}
	h, err := Load(bytes.NewReader(golden))
	if err != nil {
		t.Fatal(err)
	}
	var saved bytes.Buffer
	if err := h.Save(&saved); err != nil {
		t.Fatal(err)
	}
	if saved.String() != string(golden) {
		t.Fatalf("got\n%s\nwant\n%s", saved.String(), golden)
	}
	v := (&Checker{}).Check(h)
	if v == nil || v.Rule != Damaged || v.Block != 8 {
		t.Fatalf("got %v, want block 8 damaged", v)
	}
}

// TestDescriptionOfTheFileIsTrue loads the examples of the page.
func TestDescriptionOfTheFileIsTrue(t *testing.T) {
	page, err := os.ReadFile("../docs/history-format.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(page), "```json\n")[1:]
	for _, e := range examples {
		text, _, _ := strings.Cut(e, "```")
		if _, err := Load(strings.NewReader(text)); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
	if len(examples) < 2 {
		t.Errorf("%d examples: is this the page?", len(examples))
	}
}

func TestBadLineIsRefusedByNumberAndField(t *testing.T) {
	const flush = `{"kind":"flush","call":5,"return":6,"outcome":"ok"`
	const write = `{"kind":"write","call":5,"return":6,"outcome":"ok","block":1`
	const trim = `{"kind":"zero","call":5,"return":6,"outcome":"ok","block":1`
	for _, c := range []struct{ line, says string }{
		{``, `it is no JSON object`},
		{`hello`, `it is no JSON object`},
		{`[1]`, `it is no JSON object`},
		{flush, `it is no whole JSON object`},
		{flush + `}{}`, `something follows`},
		{flush + `,"color":1}`, `field "color": there is no such field`},
		{flush + `,"Client":1}`, `field "Client": there is no such field`},
		{flush + `,"call":6}`, `field "call": it is there twice`},
		{flush + `,"client":null}`, `field "client": null is not a whole number from 0 to 65535`},
		{flush + `,"client":65536}`, `field "client": 65536 is not`},
		{flush + `,"era":-1}`, `field "era": -1 is not`},
		{flush + `,"era":x}`, `field "era": it is no JSON`},
		{flush + `,"fenced":7}`, `field "fenced": only an operation of unknown outcome`},
		{flush + `,"block":7}`, `field "block": a line of kind flush has none`},
		{flush + `,"text":"x"}`, `field "text": a line of kind flush has none`},
		{flush + `,"place":{"era":1}}`, `field "place"`},
		{flush + `,"place":{"era":1,"seq":1,"x":1}}`, `field "place"`},
		{`{"call":1}`, `field "kind": it is missing`},
		{`{"kind":"append","call":1}`, `field "kind": "append" is none of read`},
		{`{"kind":"power loss"}`, `field "call": it is missing`},
		{`{"kind":"power loss","call":1,"return":2}`, `field "return": a line of kind power loss has none`},
		{`{"kind":"attach","call":1}`, `field "era": it is missing`},
		{`{"kind":"fault","call":1}`, `field "text": it is missing`},
		{`{"kind":"fault","call":2,"return":1,"text":"x"}`, `field "return": 1 is before the call at 2`},
		{`{"kind":"flush","call":1.5,"outcome":"unknown"}`, `field "call": 1.5 is not a time`},
		{`{"kind":"flush","call":-1,"outcome":"unknown"}`, `field "call": -1 is not from 0`},
		{`{"kind":"flush","call":9223372036854775807,"outcome":"unknown"}`, `field "call"`},
		{`{"kind":"flush","call":5,"return":4,"outcome":"ok"}`, `field "return": 4 is before the call at 5`},
		{`{"kind":"flush","call":5,"fenced":4,"outcome":"unknown"}`, `field "fenced": 4 is before`},
		{`{"kind":"flush","call":5,"return":6}`, `field "outcome": it is missing`},
		{`{"kind":"flush","call":5,"return":6,"outcome":"fine"}`, `field "outcome": "fine" is none of`},
		{`{"kind":"flush","call":5,"outcome":"ok"}`, `field "return": it is missing`},
		{`{"kind":"flush","call":5,"return":6,"outcome":"unknown"}`, `field "return": what returned`},
		{`{"kind":"read","call":5,"return":6,"outcome":"ok","values":["0:1"]}`, `field "block": it is missing`},
		{`{"kind":"read","call":5,"return":6,"outcome":"failed","block":1,"values":["0:1"]}`, `field "values": what did not succeed`},
		{write + `}`, `field "values": it is missing`},
		{write + `,"values":[]}`, `field "values": it is missing`},
		{write + `,"values":["x"]}`, `field "values": "x" is no value`},
		{write + `,"values":["0:0"]}`, `field "values": "0:0" is no value`},
		{write + `,"values":["01:1"]}`, `field "values": "01:1" is no value`},
		{write + `,"values":[1]}`, `field "values": [1] is not a list of texts`},
		{write + `,"values":["damaged content: x"]}`, `field "values": damaged content`},
		{write + `,"values":["0:1"],"blocks":1}`, `field "blocks"`},
		{trim + `,"values":["zeroes"]}`, `field "values": a line of kind zero has none`},
		{trim + `,"blocks":0}`, `field "blocks": at least one`},
		{trim + `,"blocks":4000000000}`, `field "blocks": 4000000000 are too many`},
		{`{"kind":"zero","call":5,"return":6,"outcome":"ok","block":4294967295}`, `field "block": 4294967295 is too far`},
	} {
		_, err := Load(strings.NewReader(fileHead + flush + "}\n" + c.line + "\n" + flush + "}\n"))
		if err == nil || !strings.Contains(err.Error(), "load history: line 3: "+c.says) {
			t.Errorf("%s\n     got %v\n    want line 3: %s", c.line, err, c.says)
		}
	}
}

func TestBadHeadIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		"":        "the file is empty",
		"hello\n": "line 1: it is no JSON object",
		"{}\n":    `line 1: field "format"`,
		`{"format":"lagan-history","version":2,"volume":"01000000000000000000000000000000"}`:       `line 1: field "version": this program reads version 1`,
		`{"format":"lagan-history","version":1}`:                                                   `line 1: field "volume": it is missing`,
		`{"format":"lagan-history","version":1,"volume":"01"}`:                                     `line 1: field "volume"`,
		`{"format":"lagan-history","version":1,"volume":"01000000000000000000000000000000","x":1}`: `line 1: field "x"`,
		fileHead + strings.Repeat("x", lineMax+1):                                                  "line 2: it has more than",
	} {
		if _, err := Load(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "load history: "+says) {
			t.Errorf("%.80s\n     got %v\n    want %s", text, err, says)
		}
	}
}

// FuzzLoad feeds files to Load: what it takes it must give back, and it can be
// judged and shown.
func FuzzLoad(f *testing.F) {
	golden, err := os.ReadFile("testdata/golden.history")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(golden))
	f.Add(fileHead + `{"kind":"write","call":5,"return":6,"outcome":"ok","block":1,"values":["0:1","damaged"]}`)
	f.Add(fileHead + `{"kind":"read","call":5,"return":6,"outcome":"ok","block":1,"values":["misplaced content: x"],"place":{"era":1,"seq":1}}`)
	f.Add(fileHead + `{"kind":"zero","call":5,"outcome":"unknown","fenced":9,"block":1,"blocks":3}` + "\n" + `{"kind":"attach","call":9,"era":2}`)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Load(strings.NewReader(text))
		if err != nil {
			return
		}
		var saved, again bytes.Buffer
		if err := h.Save(&saved); err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(bytes.NewReader(saved.Bytes()))
		if err != nil {
			t.Fatalf("refuses what it saved: %v", err)
		}
		if err := loaded.Save(&again); err != nil || again.String() != saved.String() {
			t.Fatalf("%v: saved\n%s\nloaded and saved again\n%s", err, saved.String(), again.String())
		}
		if h.Len() > 24 {
			return // a search may take long
		}
		for _, v := range []*Violation{(&Checker{Thorough: true}).Check(h), CheckPrefix(h)} {
			if v == nil {
				continue
			}
			if err := v.Visualize(io.Discard); err != nil || v.String() == "" || v.Rule == JudgesDisagree {
				t.Fatalf("%v: %v", v, err)
			}
		}
	})
}
