package sim

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
)

//go:embed page
var pageParts embed.FS // constant table: the page, with gaps for the rest, its style and its scripts

// pageScripts are in the order in which they need each other.
var pageScripts = []string{"words.js", "story.js", "timeline.js", "page.js"} // constant table

// Page is what the page that shows a failure needs besides the film.
type Page struct {
	Film     *Film
	Report   *Report
	Commit   string   // of the source
	Commands []string // that run the failure again, and make it small
	Picture  string   // relative address of linearizability's own picture; "": there is none
	Events   string   // of one line an event
	Trace    string   // of the trace
}

// shotsMax bounds a page: more than a browser shows with pleasure.
const shotsMax = 100_000

// pageData is what the page's scripts are given.
type pageData struct {
	Title     string      `json:"title"`
	Invariant string      `json:"invariant"`
	Meaning   string      `json:"meaning"`
	Text      string      `json:"text"`
	Blame     []string    `json:"blame"` // what cannot be; a shot's "a" is a number of these
	Stack     string      `json:"stack"`
	Seed      string      `json:"seed"`
	Profile   Profile     `json:"profile"`
	Commit    string      `json:"commit"`
	Step      uint64      `json:"step"`
	At        int64       `json:"at"`
	Commands  [][2]string `json:"commands"` // what it does, and the command
	Files     [][2]string `json:"files"`    // what it is, and its address
	Picture   string      `json:"picture"`
	Faults    []string    `json:"faults"`
	Script    string      `json:"script"`
	Nodes     int         `json:"nodes"`
	Volumes   int         `json:"volumes"`
	Clients   int         `json:"clients"`
	Focus     struct {
		Volume int `json:"volume"`
		Block  int `json:"block"` // -1: no single one
	} `json:"focus"`
	Shots []Shot `json:"shots"`
}

// Write writes one page that needs nothing else, not even a network: nodes over
// time, and the story of the block that the failure is about.
func (p *Page) Write(w io.Writer) error {
	seed := p.Report.Plan.Seed
	if p.Report.Violation == nil {
		return fmt.Errorf("a page of seed %#x: nothing failed, so there is nothing to show", seed)
	}
	data, err := p.data()
	if err != nil {
		return fmt.Errorf("a page of seed %#x: %w", seed, err)
	}
	text, err := json.Marshal(data) // it escapes <, so that nothing ends the script early
	if err != nil {
		return fmt.Errorf("a page of seed %#x: %w", seed, err)
	}
	var style, script []byte
	page := part("page.html", &err)
	style = part("page.css", &err)
	for _, name := range pageScripts {
		script = append(script, part(name, &err)...)
	}
	if err != nil {
		return fmt.Errorf("a page of seed %#x: %w", seed, err)
	}
	for _, gap := range []struct {
		name string
		text []byte
	}{{"STYLE", style}, {"SCRIPT", script}, {"DATA", text}} { // what is data comes last: it may look like a gap
		page = bytes.Replace(page, []byte("{{"+gap.name+"}}"), gap.text, 1)
	}
	_, err = w.Write(page)
	return err
}

// part reads one file of the page; the first error stays.
func part(name string, err *error) []byte {
	text, readErr := pageParts.ReadFile("page/" + name)
	*err = cmp.Or(*err, readErr)
	return text
}

// data collects what the page shows.
func (p *Page) data() (*pageData, error) {
	v, plan := p.Report.Violation, p.Report.Plan
	var script bytes.Buffer
	if err := (&Script{Plan: p.Report.Script(), Fails: v.Invariant}).Write(&script); err != nil {
		return nil, err
	}
	d := &pageData{
		Title: v.Invariant + " does not hold", Invariant: v.Invariant, Meaning: meaningOf(v.Invariant), Text: v.Text, Blame: []string{}, Stack: v.Stack,
		Seed: fmt.Sprintf("%#x", plan.Seed), Profile: plan.Profile, Commit: p.Commit, Step: v.Step, At: int64(v.At),
		Commands: [][2]string{}, Files: [][2]string{}, Picture: p.Picture, Faults: []string{}, Script: script.String(),
		Nodes: plan.Nodes, Volumes: len(plan.Volumes), Clients: len(plan.Clients), Shots: p.Film.fewer(shotsMax),
	}
	d.Focus.Volume, d.Focus.Block = focusOf(v)
	if f := v.Found; f != nil {
		d.Title = fmt.Sprintf("Block %d of v%d: %s", f.Block, v.Volume, f.Rule)
		d.Meaning = f.Rule.Meaning()
		for i := range f.Ops {
			d.Blame = append(d.Blame, f.Describe(i))
		}
	}
	for i, command := range p.Commands {
		d.Commands = append(d.Commands, [2]string{[]string{"run it again", "make it small"}[min(i, 1)], command})
	}
	for _, f := range [][2]string{{"every event as a line", p.Events}, {"a trace for ui.perfetto.dev", p.Trace}} {
		if f[1] != "" {
			d.Files = append(d.Files, f)
		}
	}
	for i := range p.Report.Struck {
		d.Faults = append(d.Faults, p.Report.Struck[i].String())
	}
	return d, nil
}

// focusOf returns the volume and block that a violation is about: by what was
// found in a history, or by its words. The block is -1 if it is no single one.
func focusOf(v *Violation) (volume, block int) {
	if v.Found != nil {
		return v.Volume, int(v.Found.Block)
	}
	volume, block = v.Volume, -1
	if words := regexp.MustCompile(`\bv(\d+)\b`).FindStringSubmatch(v.Text); words != nil {
		volume, _ = strconv.Atoi(words[1]) // it is digits
	}
	if words := regexp.MustCompile(`\bblock (\d+) of v\d`).FindStringSubmatch(v.Text); words != nil {
		block, _ = strconv.Atoi(words[1]) // likewise
	}
	return volume, block
}

// meaningOf says what an invariant promises, for those who do not know its name.
func meaningOf(invariant string) string {
	switch invariant {
	case "linearizability":
		return "Every block behaves as if each operation on it had happened at one moment between its call and its answer."
	case "I1":
		return "What a flush has acknowledged is on the disk of every copy in sync, whatever loses power next."
	case "I2":
		return "No change of a volume's configuration leaves it without a whole copy while there is one."
	case "I4":
		return "A place in a volume's stream stands for one operation, whoever sends it and whenever."
	case "I7":
		return "Every configuration of a volume follows from the one before: its epoch, its members, its history."
	case "I10":
		return "In the end every copy in sync has, byte for byte, what the clients read."
	case "I16":
		return "No read fails while a copy in sync lies on a disk that is not damaged."
	case "liveness":
		return "Once everything works again every request returns, and every copy comes back in sync, before long."
	case "space":
		return "A write is refused for want of space only where disks are full, and a volume that was emptied can be written again."
	case "debris":
		return "Of a deleted volume nothing is left: no name, record, promised byte or copy."
	case "buffers":
		return "What was sent does not change any more, and is not read after it was given back."
	case "invariant":
		return "The code of a node found that something it relies on is not so, and stopped that node."
	case "panic":
		return "The code of a node went wrong and stopped."
	}
	return "What a node's code asks of the body that runs it makes sense."
}

// fewer returns the shots, at most about so many: without heartbeats and what disks
// do first, and then without the oldest messages.
func (f *Film) fewer(most int) []Shot {
	if len(f.Shots) <= most {
		return f.Shots
	}
	var kept []Shot
	for i := range f.Shots {
		s := &f.Shots[i]
		if s.Kind == shotMessage && (s.Type == "GRANT" || s.Type == "GRANTED") || s.Kind == shotUnsynced || s.Kind == shotTransfer {
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
		if s := &kept[i]; over > 0 && (s.Kind == shotMessage || s.Kind == shotNote || s.Kind == shotDecision) {
			over--
			continue
		}
		late = append(late, kept[i])
	}
	return late
}
