package linearizability

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
)

// The file of a history is JSON, one object per line, as docs/history-format.md
// describes it. The first line names format and volume, each other one is an
// operation or an event, in any order.
const (
	fileFormat  = "lagan-history"
	fileVersion = 1
	lineMax     = 16 << 20 // bytes: a read of a million blocks
	lineBlocks  = 1 << 20  // blocks of an operation: a trim of 4 GiB
	fileEntries = 1 << 26  // entries of a file: 2.5 GiB of memory, from few bytes where blocks are trimmed
	timeMax     = 1 << 62  // nanoseconds: leaves room to tell equal times apart
)

// faultKind is the kind of lines that no judge asks for.
const faultKind = "fault"

// header is the first line of a file.
type header struct {
	Format  string         `json:"format"`
	Version int            `json:"version"`
	Volume  block.VolumeID `json:"volume"`
}

// line is one operation or event in a file. What may be left out although
// zero means something is a pointer.
type line struct {
	Kind    string          `json:"kind"`
	Client  uint16          `json:"client,omitempty"`
	Call    *int64          `json:"call"`
	Return  *int64          `json:"return,omitempty"`
	Outcome string          `json:"outcome,omitempty"`
	Fenced  *int64          `json:"fenced,omitempty"`
	Block   *uint32         `json:"block,omitempty"`
	Blocks  *uint32         `json:"blocks,omitempty"`
	Values  []string        `json:"values,omitempty"`
	Era     *uint32         `json:"era,omitempty"`
	Place   *block.Position `json:"place,omitempty"`
	Text    *string         `json:"text,omitempty"`
}

// The outcomes in a file.
const (
	outcomeOK      = "ok"
	outcomeFailed  = "failed"
	outcomeUnknown = "unknown"
)

// Save writes h as a file.
func (h *History) Save(w io.Writer) error {
	buffered := bufio.NewWriter(w)
	out := json.NewEncoder(buffered)
	if err := out.Encode(header{fileFormat, fileVersion, h.volume}); err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	harmed := make(map[uint32]error, len(h.damage))
	for _, d := range h.damage {
		harmed[d.entry] = d.err
	}
	for i := uint32(0); int(i) < h.count; i += h.at(i).rest + 1 {
		if err := out.Encode(h.line(Op(i), harmed)); err != nil {
			return fmt.Errorf("save history: %w", err)
		}
	}
	for _, f := range h.faults {
		if err := out.Encode(line{Kind: faultKind, Call: &f.from, Return: &f.to, Text: &f.text}); err != nil {
			return fmt.Errorf("save history: %w", err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	return nil
}

// line returns op as a line; harmed are the damaged reads, by entry.
func (h *History) line(op Op, harmed map[uint32]error) line {
	e := *h.at(uint32(op))
	l := line{Kind: e.kind.String(), Client: e.client, Call: &e.call}
	if e.era != 0 || e.kind == Attach {
		l.Era = &e.era
	}
	switch e.kind {
	case PowerLoss, Attach:
		return l
	case Read, Write, WriteFUA, Zero:
		l.Block = &e.block
	case Flush:
	}
	if at, known := h.place(uint32(op)); known {
		l.Place = &at
	}
	read := e.outcome == done
	for i := range h.of(op) {
		read = read || harmed[i] != nil
	}
	switch {
	case read:
		l.Outcome, l.Return = outcomeOK, &e.ret
	case e.outcome == failed:
		l.Outcome, l.Return = outcomeFailed, &e.ret
	default:
		l.Outcome = outcomeUnknown
		if e.ret != 0 {
			l.Fenced = &e.ret
		}
	}
	if e.kind == Write || e.kind == WriteFUA || e.kind == Read && read {
		for i, e := range h.of(op) {
			text := valueText(e.value)
			if err := harmed[i]; err != nil {
				text = err.Error()
			}
			l.Values = append(l.Values, text)
		}
	} else if blocks := e.rest + 1; blocks > 1 {
		l.Blocks = &blocks
	}
	return l
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
	value := w<<seqBits | s
	if err1 != nil || err2 != nil || valueText(value) != text {
		return 0, fmt.Errorf("%q is no value: write writer:seq, such as 1:7, or zeroes", text)
	}
	return value, nil
}
