package linearizability

import (
	"bytes"
	"math/rand/v2"
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

func TestBadFileIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":            "",
		"not JSON":         "hello\n",
		"other version":    `{"format":"lagan-history","version":2}` + "\n",
		"unknown kind":     fileHead + `{"kind":"append","call":1}`,
		"ends before":      fileHead + `{"kind":"flush","call":5,"return":4,"outcome":"ok"}`,
		"no outcome":       fileHead + `{"kind":"flush","call":5,"return":6}`,
		"ok, no return":    fileHead + `{"kind":"flush","call":5,"outcome":"ok"}`,
		"write of nothing": fileHead + `{"kind":"write","call":5,"return":6,"outcome":"ok","block":1}`,
		"bad value":        fileHead + `{"kind":"write","call":5,"return":6,"outcome":"ok","block":1,"values":["x"]}`,
		"damaged write":    fileHead + `{"kind":"write","call":5,"return":6,"outcome":"ok","block":1,"values":["damaged content: x"]}`,
		"too many blocks":  fileHead + `{"kind":"zero","call":5,"return":6,"outcome":"ok","block":1,"blocks":4000000000}`,
		"block too far":    fileHead + `{"kind":"zero","call":5,"return":6,"outcome":"ok","block":4294967295}`,
	} {
		if _, err := Load(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "load history") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzLoad feeds files to Load: what it takes it must give back.
func FuzzLoad(f *testing.F) {
	f.Add(fileHead + `{"kind":"write","call":5,"return":6,"outcome":"ok","block":1,"values":["0:1","damaged"]}`)
	f.Add(fileHead + `{"kind":"read","call":5,"return":6,"outcome":"ok","block":1,"values":["misplaced content: x"],"place":{"era":1,"seq":1}}`)
	f.Add(fileHead + `{"kind":"zero","call":5,"outcome":"unknown","fenced":9,"block":1,"blocks":3}` + "\n" + `{"kind":"attach","call":9,"era":2}`)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Load(strings.NewReader(text))
		if err != nil {
			return
		}
		var saved bytes.Buffer
		if err := h.Save(&saved); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(&saved); err != nil {
			t.Fatalf("refuses what it saved: %v", err)
		}
	})
}
