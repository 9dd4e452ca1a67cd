package linearizability

import (
	"cmp"
	"fmt"
	"slices"
)

// How much a timeline shows, and how large, in pixels.
const (
	shownMax   = 240 // operations
	eventsMax  = 60
	stepWidth  = 60 // between two times: they are evenly spaced
	laneHeight = 24
	nameWidth  = 90 // of the column with the names of the rows
)

// timeline is a picture of operations, by client and time, and of what happened
// meanwhile. Only the order of times is to scale.
type timeline struct {
	Width, Height int
	Rows          []row
	Bars          []bar
	Lines         []bar // vertical, over all rows
	LeftOut       int   // operations
}

type row struct {
	Y    int
	Name string
}

type bar struct {
	X, Y, Width  int
	Class        string
	Label, Title string
}

// timelineOf draws the operations of v, and those on its block meanwhile.
func timelineOf(v *Violation) *timeline {
	h := v.history
	from, to := v.span()
	events := h.events(from, to)
	events = events[max(0, len(events)-eventsMax):]
	t := &timeline{}
	shown := t.choose(v, from, to)
	var times []int64
	for _, e := range events {
		times = append(times, max(e.From, from), min(e.To, to))
	}
	for _, i := range shown {
		e := h.at(i)
		times = append(times, max(e.call, from), min(max(e.ret, e.call), to))
	}
	slices.Sort(times)
	times = slices.Compact(times)
	x := func(at int64) int {
		rank, _ := slices.BinarySearch(times, min(max(at, from), to))
		return nameWidth + rank*stepWidth
	}
	y := t.drawEvents(v, events, x)
	t.Width = nameWidth + (len(times)+2)*stepWidth
	t.Height = t.drawOperations(v, shown, x, y+laneHeight/2) + laneHeight
	return t
}

// choose returns the entries to show, by client and call: those of v's
// operations, and of others the nearest.
func (t *timeline) choose(v *Violation, from, to int64) (shown []uint32) {
	h := v.history
	var moments []int64
	for _, op := range v.Ops {
		if kind := h.at(uint32(op)).kind; kind != PowerLoss && kind != Attach {
			shown = append(shown, v.entryOf(op))
		}
		moments = append(moments, h.at(uint32(op)).call, h.at(uint32(op)).ret)
	}
	distance := func(i uint32) int64 {
		nearest := int64(never)
		for _, at := range moments {
			nearest = min(nearest, max(h.at(i).call-at, at-h.at(i).call))
		}
		return nearest
	}
	var others []uint32
	for i, e := range h.all() {
		over := e.ret
		if e.outcome == unknown && e.ret == 0 {
			over = never
		}
		onBlock := e.kind == Flush || e.kind != Attach && e.kind != PowerLoss && e.block == uint32(v.Block)
		if onBlock && e.call <= to && over >= from && !slices.Contains(shown, i) {
			others = append(others, i)
		}
	}
	if more := len(others) - shownMax; more > 0 {
		t.LeftOut = more
		slices.SortFunc(others, func(a, b uint32) int { return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(a, b)) })
		others = others[:shownMax]
	}
	shown = append(shown, others...)
	slices.SortFunc(shown, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(h.at(a).client, h.at(b).client), cmp.Compare(a, b))
	})
	return shown
}

// entryOf returns op's entry on v's block, or its first one.
func (v *Violation) entryOf(op Op) uint32 {
	for i, e := range v.history.of(op) {
		if e.block == uint32(v.Block) {
			return i
		}
	}
	return uint32(op)
}

// lanes puts what overlaps on different ones.
type lanes []int64

func (l *lanes) take(from, to int64) int {
	for i, busy := range *l {
		if busy < from {
			(*l)[i] = to
			return i
		}
	}
	*l = append(*l, to)
	return len(*l) - 1
}

// drawEvents returns where the rows of events end.
func (t *timeline) drawEvents(v *Violation, events []Event, x func(int64) int) int {
	var rows lanes
	for _, e := range events {
		class, label := "event", e.Text
		if n := slices.Index(v.Ops, e.op); e.fault {
			class = "fault"
		} else if n >= 0 {
			label = fmt.Sprintf("(%d) %s", n+1, label)
		}
		left, right := x(e.From), x(e.To)
		// A label is as wide as its text, and nothing may be written over it.
		width := max(right-left, 14+7*len(label))
		y := laneHeight * rows.take(int64(left), int64(left+width))
		t.Bars = append(t.Bars, bar{X: left, Y: y, Width: max(right-left, 4), Class: class, Label: label, Title: e.String()})
		t.Lines = append(t.Lines, bar{X: left, Y: y, Class: class})
	}
	if len(rows) > 0 {
		t.Rows = append(t.Rows, row{Y: 0, Name: "meanwhile"})
	}
	return laneHeight * len(rows)
}

// drawOperations returns where the rows of clients end.
func (t *timeline) drawOperations(v *Violation, shown []uint32, x func(int64) int, y int) int {
	h := v.history
	for len(shown) > 0 {
		client, count := h.at(shown[0]).client, 0
		for count < len(shown) && h.at(shown[count]).client == client {
			count++
		}
		var rows lanes
		t.Rows = append(t.Rows, row{Y: y, Name: fmt.Sprintf("client %d", client)})
		for _, i := range shown[:count] {
			e := h.at(i)
			over := max(e.ret, e.call)
			if e.outcome == unknown && e.ret == 0 {
				over = never
			}
			left, right := x(e.call), x(over)
			b := bar{X: left, Width: max(right-left, stepWidth-6), Class: v.class(e)}
			b.Y = y + laneHeight*rows.take(int64(left), int64(left+b.Width))
			b.Label, b.Title = h.label(i), h.describe(h.opOf(i), e.block)
			if n := slices.Index(v.Ops, h.opOf(i)); n >= 0 {
				b.Class += " guilty"
				b.Label = fmt.Sprintf("(%d) %s", n+1, b.Label)
				if e.block != uint32(v.Block) && e.kind != Flush {
					b.Label += fmt.Sprintf(" b%d", e.block)
				}
			}
			t.Bars = append(t.Bars, b)
		}
		y += laneHeight*len(rows) + laneHeight/3
		shown = shown[count:]
	}
	return y
}

func (v *Violation) class(e *entry) string {
	class := "other"
	switch {
	case e.kind == Read:
		class = "read"
	case e.kind.writes():
		class = "write"
	}
	switch e.outcome {
	case failed:
		class += " failed"
	case unknown:
		class += " unknown"
	case done:
	}
	return class
}

// label is an operation in few letters.
func (h *History) label(i uint32) string {
	switch e := h.at(i); e.kind {
	case Read:
		switch {
		case h.damageOf(i) != nil:
			return "r damage"
		case e.outcome != done:
			return "r ?"
		}
		return "r " + valueText(e.value)
	case Write, WriteFUA:
		return "w " + valueText(e.value)
	case Zero, Flush, PowerLoss, Attach:
		return e.kind.String()
	}
	return ""
}
