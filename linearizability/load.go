package linearizability

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// byteOrderMark is what some editors begin a file with; nobody sees it.
const byteOrderMark = "\uFEFF"

// Load reads a file that Save or a foreign recorder wrote. It refuses a file
// with anything in it that it does not understand, and says in which line and
// field that is.
func Load(r io.Reader) (*History, error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, lineMax)
	var head header
	var lines []line
	n, entries := 0, 0
	for in.Scan() {
		n++
		if n == 1 {
			if err := head.parse(bytes.TrimPrefix(in.Bytes(), []byte(byteOrderMark))); err != nil {
				return nil, fmt.Errorf("load history: line 1: %w", err)
			}
			continue
		}
		var l line
		err := l.parse(in.Bytes())
		if err == nil {
			err = l.check()
		}
		if entries += l.count(); err == nil && entries > fileEntries {
			err = fmt.Errorf("this file's operations on single blocks are more than %d: split it by blocks", fileEntries)
		}
		if err != nil {
			return nil, fmt.Errorf("load history: line %d: %w", n, err)
		}
		lines = append(lines, l)
	}
	switch err := in.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("load history: line %d: it has more than %d bytes", n+1, lineMax)
	case err != nil:
		return nil, fmt.Errorf("load history: %w", err)
	case n == 0:
		return nil, errors.New("load history: the file is empty")
	}
	return replay(head, lines), nil
}

// happening is the call, return or fencing of a line.
type happening struct {
	at    int64
	line  int
	first bool // the call
}

// replay records lines in the order of their events.
func replay(head header, lines []line) *History {
	h := NewHistory(head.Volume)
	var events []happening
	for i, l := range lines {
		if l.Kind == faultKind {
			h.Fault(*l.Call, l.end(), *l.Text)
			continue
		}
		events = append(events, happening{*l.Call, i, true})
		if l.Return != nil || l.Fenced != nil {
			events = append(events, happening{l.end(), i, false})
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
	ops := make([]Op, len(lines))
	for i, e := range events {
		l := &lines[e.line]
		if e.first {
			ops[e.line] = h.enter(l)
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
func (h *History) enter(l *line) Op {
	kind, _ := kindOf(l.Kind)
	e := entry{call: h.tick(*l.Call), kind: kind, client: l.Client}
	if l.Block != nil {
		e.block = *l.Block
	}
	if l.Era != nil {
		e.era = *l.Era
	}
	if kind == PowerLoss || kind == Attach {
		e.ret, e.outcome = e.call, done
	}
	op := Op(h.count)
	for i := range l.count() {
		e.rest = uint32(l.count() - 1 - i)
		if i < len(l.Values) {
			e.value, _ = valueOf(l.Values[i])
		}
		h.add(e)
		e.block++
	}
	if l.Place != nil {
		h.Place(op, *l.Place)
	}
	return op
}

// leave records the end of l.
func (h *History) leave(l *line, op Op, at int64) {
	for i, e := range h.of(op) {
		e.ret = at
		switch l.Outcome {
		case outcomeFailed:
			e.outcome = failed
		case outcomeOK:
			e.outcome = done
			if n := int(i - uint32(op)); n < len(l.Values) {
				if _, err := valueOf(l.Values[n]); err != nil {
					e.outcome = unknown // what it says about other operations is not known
					h.damage = append(h.damage, damage{entry: i, err: err})
				}
			}
		}
	}
}
