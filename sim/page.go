package sim

import (
	"bytes"
	_ "embed" // of the page
	"encoding/json"
	"fmt"
	"io"
)

//go:embed page.html
var page []byte // constant table: the page, with a gap for its data

// Page is what the page that shows a failure needs besides the film.
type Page struct {
	Film     *Film
	Report   *Report
	Commands []string // that run the failure again
	Picture  string   // relative address of linearizability's own picture; "": there is none
}

// shotsMax bounds a page: more than a browser draws with pleasure.
const shotsMax = 60_000

// Write writes one page that needs nothing else, not even a network: nodes over
// time, and the story of the block that the failure is about.
func (p *Page) Write(w io.Writer) error {
	v := p.Report.Violation
	if v == nil {
		return fmt.Errorf("a page of seed %#x: nothing failed, so there is nothing to show", p.Report.Plan.Seed)
	}
	type focus struct {
		Volume int `json:"volume"`
		Block  int `json:"block"`
	}
	plan := p.Report.Plan
	var script bytes.Buffer
	if err := (&Script{Plan: p.Report.Script(), Fails: v.Invariant}).Write(&script); err != nil {
		return err
	}
	data := struct {
		Seed      string   `json:"seed"`
		Invariant string   `json:"invariant"`
		Text      string   `json:"text"`
		Step      uint64   `json:"step"`
		At        int64    `json:"at"`
		Commands  []string `json:"commands"`
		Picture   string   `json:"picture"`
		Faults    []string `json:"faults"`
		Script    string   `json:"script"`
		Nodes     int      `json:"nodes"`
		Volumes   int      `json:"volumes"`
		Clients   int      `json:"clients"`
		Focus     focus    `json:"focus"`
		Shots     []Shot   `json:"shots"`
	}{
		Seed: fmt.Sprintf("%#x", plan.Seed), Invariant: v.Invariant, Text: v.Text, Step: v.Step, At: int64(v.At),
		Commands: p.Commands, Picture: p.Picture, Script: script.String(), Faults: []string{},
		Nodes: plan.Nodes, Volumes: len(plan.Volumes), Clients: len(plan.Clients),
		Focus: focus{Volume: v.Volume, Block: -1}, Shots: p.Film.fewer(shotsMax),
	}
	if v.Found != nil {
		data.Focus.Block = int(v.Found.Block)
	}
	for i := range p.Report.Struck {
		data.Faults = append(data.Faults, p.Report.Struck[i].String())
	}
	text, err := json.Marshal(data) // it escapes <, so that nothing ends the script early
	if err != nil {
		return fmt.Errorf("a page of seed %#x: %w", plan.Seed, err)
	}
	_, err = w.Write(bytes.Replace(page, []byte("{{DATA}}"), text, 1))
	return err
}

// fewer returns the shots, at most about so many: without what beats and what
// the metadata store said first, and then the oldest messages.
func (f *Film) fewer(most int) []Shot {
	if len(f.Shots) <= most {
		return f.Shots
	}
	var kept []Shot
	for i := range f.Shots {
		s := &f.Shots[i]
		if s.Kind == shotMessage && (s.Type == "GRANT" || s.Type == "GRANTED") || s.Kind == shotUnsynced {
			continue
		}
		kept = append(kept, *s)
	}
	over := len(kept) - most
	if over <= 0 {
		return kept
	}
	late := kept[:0]
	for i := range kept {
		if s := &kept[i]; over > 0 && (s.Kind == shotMessage || s.Kind == shotNote) {
			over--
			continue
		}
		late = append(late, kept[i])
	}
	return late
}
