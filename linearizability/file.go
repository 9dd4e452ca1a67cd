package linearizability

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
)

// The file of a history is JSON, one object per line. The first names format
// and volume; each other line is an operation or an event, in any order:
//
//	{"format":"lagan-history","version":1,"volume":"0100…00"}
//	{"kind":"write","client":0,"call":1000,"return":2000,"outcome":"ok","block":7,"values":["0:1"],"era":3,"place":{"era":3,"seq":12}}
//	{"kind":"write","client":1,"call":1500,"outcome":"unknown","fenced":9000,"block":8,"values":["1:1"],"era":3}
//	{"kind":"read","client":1,"call":9100,"return":9200,"outcome":"ok","block":7,"values":["0:1","zeroes"]}
//	{"kind":"zero","client":1,"call":9300,"return":9400,"outcome":"failed","block":0,"blocks":16}
//	{"kind":"flush","client":1,"call":9500,"return":9600,"outcome":"ok"}
//	{"kind":"attach","call":9000,"era":4}
//	{"kind":"power loss","call":9700}
//
// kind is read, write, write+fua, zero, flush, attach or power loss. Times are
// nanoseconds of one clock. outcome is ok (with return), failed (with return)
// or unknown (fenced, if at all, says by when it took effect or never did). A
// value is writer:seq of its stamp, "zeroes", or for a read "damaged content:
// why" or "misplaced content: why". Operations on several blocks give one value
// per block from block on, or blocks where they have no values. era and place
// may be left out. Events of equal time: calls come before returns.
const (
	fileFormat  = "lagan-history"
	fileVersion = 1
	lineMax     = 16 << 20 // bytes: a read of a million blocks
	lineBlocks  = 1 << 20  // blocks of an operation: a trim of 4 GiB
)

// header is the first line of a file.
type header struct {
	Format  string         `json:"format"`
	Version int            `json:"version"`
	Volume  block.VolumeID `json:"volume"`
}

// line is one operation in a file.
type line struct {
	Kind    string          `json:"kind"`
	Client  uint16          `json:"client,omitempty"`
	Call    int64           `json:"call"`
	Return  int64           `json:"return,omitempty"`
	Outcome string          `json:"outcome,omitempty"`
	Fenced  int64           `json:"fenced,omitempty"`
	Block   uint32          `json:"block,omitempty"`
	Blocks  uint32          `json:"blocks,omitempty"`
	Values  []string        `json:"values,omitempty"`
	Era     uint32          `json:"era,omitempty"`
	Place   *block.Position `json:"place,omitempty"`
}

// Save writes h as a file.
func (h *History) Save(w io.Writer) error {
	buffered := bufio.NewWriter(w)
	out := json.NewEncoder(buffered)
	if err := out.Encode(header{fileFormat, fileVersion, h.volume}); err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	for i := 0; i < len(h.entries); i += int(h.entries[i].rest) + 1 {
		if err := out.Encode(h.line(Op(i))); err != nil {
			return fmt.Errorf("save history: %w", err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	return nil
}

func (h *History) line(op Op) line {
	entries := h.of(op)
	e := entries[0]
	l := line{Kind: e.kind.String(), Client: e.client, Call: e.call, Block: e.block, Era: e.era}
	if e.kind == PowerLoss || e.kind == Attach {
		return l
	}
	if at, known := h.place(uint32(op)); known {
		l.Place = &at
	}
	harmed := map[uint32]error{}
	for _, d := range h.damage {
		if d.entry >= uint32(op) && d.entry < uint32(op)+uint32(len(entries)) {
			harmed[d.entry-uint32(op)] = d.err
		}
	}
	switch {
	case e.outcome == done || len(harmed) > 0:
		l.Outcome, l.Return = "ok", e.ret
	case e.outcome == failed:
		l.Outcome, l.Return = "failed", e.ret
	default:
		l.Outcome, l.Fenced = "unknown", e.ret
	}
	if e.kind == Write || e.kind == WriteFUA || e.kind == Read && l.Outcome == "ok" {
		for i, e := range entries {
			text := valueText(e.value)
			if err := harmed[uint32(i)]; err != nil {
				text = err.Error()
			}
			l.Values = append(l.Values, text)
		}
	} else if len(entries) > 1 {
		l.Blocks = uint32(len(entries))
	}
	return l
}

// Load reads a file that Save or a foreign recorder wrote.
func Load(r io.Reader) (*History, error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, lineMax)
	var head header
	var lines []line
	for n := 1; in.Scan(); n++ {
		if n == 1 {
			if err := json.Unmarshal(in.Bytes(), &head); err != nil {
				return nil, fmt.Errorf("load history: line 1: %w", err)
			}
			if head.Format != fileFormat || head.Version != fileVersion {
				return nil, fmt.Errorf("load history: format %q version %d, this program reads %q version %d", head.Format, head.Version, fileFormat, fileVersion)
			}
			continue
		}
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("load history: line %d: %w", n, err)
		}
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("load history: line %d: %w", n, err)
		}
		lines = append(lines, l)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("load history: %w", err)
	}
	if head.Format == "" {
		return nil, errors.New("load history: the file is empty")
	}
	return replay(head.Volume, lines), nil
}

// happening is the call, return or fencing of a line.
type happening struct {
	at    int64
	line  int
	first bool // the call
}

// replay records lines in the order of their events.
func replay(volume block.VolumeID, lines []line) *History {
	var events []happening
	for i, l := range lines {
		events = append(events, happening{l.Call, i, true})
		if end := max(l.Return, l.Fenced); end > 0 {
			events = append(events, happening{end, i, false})
		}
	}
	slices.SortStableFunc(events, func(a, b happening) int {
		switch {
		case a.at < b.at || a.at == b.at && a.first && !b.first:
			return -1
		case a.at == b.at && a.first == b.first:
			return 0
		}
		return 1
	})
	h := NewHistory(volume)
	ops := make([]Op, len(lines))
	for i, e := range events {
		l := lines[e.line]
		if e.first {
			ops[e.line] = Op(len(h.entries))
			h.enter(l)
			continue
		}
		// Ends of equal time need no order among each other, nor with the
		// attach that fenced them.
		shared := i > 0 && e.at == events[i-1].at && (!events[i-1].first || lines[events[i-1].line].Kind == Attach.String())
		at := h.last
		if !shared {
			at = h.tick(e.at)
		}
		h.leave(l, ops[e.line], at)
	}
	return h
}

// enter records the call of l.
func (h *History) enter(l line) {
	kind, _ := kindOf(l.Kind)
	e := entry{call: h.tick(l.Call), kind: kind, client: l.Client, era: l.Era, block: l.Block}
	if kind == PowerLoss || kind == Attach {
		e.ret, e.outcome = e.call, done
	}
	op := Op(len(h.entries))
	count := max(1, l.Blocks, uint32(len(l.Values)))
	for i := range count {
		e.rest = count - 1 - i
		if i < uint32(len(l.Values)) {
			e.value, _ = valueOf(l.Values[i])
		}
		h.entries = append(h.entries, e)
		e.block++
	}
	if l.Place != nil {
		h.Place(op, *l.Place)
	}
}

// leave records the end of l.
func (h *History) leave(l line, op Op, at int64) {
	entries := h.of(op)
	for i := range entries {
		e := &entries[i]
		e.ret = at
		switch l.Outcome {
		case "failed":
			e.outcome = failed
		case "unknown":
		case "ok":
			e.outcome = done
			if i < len(l.Values) {
				if _, err := valueOf(l.Values[i]); err != nil {
					e.outcome = unknown
					h.damage = append(h.damage, damage{entry: uint32(op) + uint32(i), err: err})
				}
			}
		}
	}
}

// check refuses what no recorder can mean.
func (l line) check() error {
	kind, known := kindOf(l.Kind)
	switch {
	case !known:
		return fmt.Errorf("unknown kind %q", l.Kind)
	case l.Call < 0 || (l.Return != 0 || l.Fenced != 0) && max(l.Return, l.Fenced) < l.Call:
		return errors.New("it ends before its call")
	case kind == PowerLoss || kind == Attach:
		return nil
	case !slices.Contains([]string{"ok", "failed", "unknown"}, l.Outcome):
		return fmt.Errorf("outcome %q is not ok, failed or unknown", l.Outcome)
	case (l.Outcome == "unknown") == (l.Return != 0):
		return errors.New("return goes with the outcomes ok and failed only")
	case l.Fenced != 0 && l.Outcome != "unknown":
		return errors.New("fenced goes with the outcome unknown only")
	case (kind == Write || kind == WriteFUA || kind == Read && l.Outcome == "ok") != (len(l.Values) > 0):
		return errors.New("values go with writes and successful reads only")
	case max(int(l.Blocks), len(l.Values)) > lineBlocks || l.Block > blocksMax-lineBlocks:
		return errors.New("the blocks reach too far")
	}
	for _, text := range l.Values {
		_, err := valueOf(text)
		if err != nil && (kind != Read || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrMisplaced)) {
			return err
		}
	}
	return nil
}

func kindOf(text string) (Kind, bool) {
	for k := Read; k <= Attach; k++ {
		if k.String() == text {
			return k, true
		}
	}
	return 0, false
}

// valueOf reads what valueText wrote, or the error that stands in its place.
func valueOf(text string) (uint64, error) {
	if text == valueText(0) {
		return 0, nil
	}
	for _, cause := range []error{ErrDamaged, ErrMisplaced} {
		if rest, is := strings.CutPrefix(text, cause.Error()+": "); is {
			return 0, fmt.Errorf("%w: %s", cause, rest)
		}
	}
	writer, seq, _ := strings.Cut(text, ":")
	w, err1 := strconv.ParseUint(writer, 10, 16)
	s, err2 := strconv.ParseUint(seq, 10, seqBits)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("value %q is not writer:seq: %w", text, err)
	}
	return w<<seqBits | s, nil
}
