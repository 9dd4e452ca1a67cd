package sim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// traceShotsMax bounds a trace: more than its viewers open with pleasure. A shot
// becomes four events at most, some 150 bytes each.
const traceShotsMax = 100_000

// markTime is how long the sending and the arrival of a message are drawn, which
// take no time: an arrow needs a slice at either end.
const markTime = 1000 // ns

// traceEvent is one event of the Trace Event Format, which Perfetto and Chrome's
// tracing page read. Times are microseconds.
type traceEvent struct {
	Name     string         `json:"name"`
	Category string         `json:"cat,omitempty"`
	Phase    string         `json:"ph"` // X slice, i instant, C counter, s and f ends of an arrow, M name
	At       float64        `json:"ts"`
	Duration *float64       `json:"dur,omitempty"`
	Process  int            `json:"pid"`
	Thread   int            `json:"tid"`
	ID       int            `json:"id,omitempty"` // of an arrow
	Binds    string         `json:"bp,omitempty"` // e: to the slice around it
	Scope    string         `json:"s,omitempty"`  // of an instant: t thread, p process, g all
	Args     map[string]any `json:"args,omitempty"`
}

// tracer turns a film into events. Process 1 is the cluster, 2 its clients, and
// what follows are the nodes.
//
//	cluster   faults that concern all, epochs of every volume
//	clients   a thread for each: its operations
//	n0 …      process · orchestrator · coordinator v0 … · disk 0: what it was sent and sends · disk 0 transfers
type tracer struct {
	spans  []traceSpan
	events []traceEvent
}

// traceSpan is a slice before it has a thread: what overlaps goes side by side.
type traceSpan struct {
	process  int
	thread   string
	from, to int64
	name     string
	category string
	args     map[string]any
	arrow    int // number of the message whose end this is; 0: none
	arrives  bool
}

const (
	clusterProcess = 1
	clientsProcess = 2
	nodesProcess   = 3 // and up
)

// WriteTrace writes what a run showed in the Trace Event Format, for ui.perfetto.dev
// or any other viewer of it. The oldest messages of a very long run are left out.
func (f *Film) WriteTrace(w io.Writer, r *Report) error {
	t := &tracer{}
	end := int64(r.Virtual)
	shots := f.fewer(traceShotsMax)
	for i := range shots {
		end = max(end, shots[i].At)
	}
	t.bodies(shots, r.Plan.Nodes, end)
	t.volumes(shots, end)
	t.requests(shots, end)
	for i := range shots {
		t.shot(&shots[i], i+1)
	}
	threads := t.lay()
	t.nameAll(r.Plan.Nodes, threads)
	head := map[string]string{"seed": fmt.Sprintf("%#x", r.Plan.Seed), "profile": string(r.Plan.Profile), "time": "virtual"}
	if v := r.Violation; v != nil {
		head["violation"] = v.String()
	}
	return t.write(w, head)
}

// write writes one event a line.
func (t *tracer) write(w io.Writer, head map[string]string) error {
	about, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("write a trace: %w", err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\"displayTimeUnit\":\"ms\",\"otherData\":%s,\"traceEvents\":[\n", about)
	for i := range t.events {
		line, err := json.Marshal(&t.events[i])
		if err != nil {
			return fmt.Errorf("write a trace: %w", err)
		}
		if i > 0 {
			out.WriteString(",\n")
		}
		out.Write(line)
	}
	out.WriteString("\n]}\n")
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write a trace: %w", err)
	}
	return nil
}

func micros(ns int64) float64 { return float64(ns) / 1000 }

// instant adds a moment; the scope says how far it is drawn.
func (t *tracer) instant(at int64, process int, scope, category, name string, args map[string]any) {
	t.events = append(t.events, traceEvent{Name: name, Category: category, Phase: "i", At: micros(at), Process: process, Thread: process * threadsPerProcess, Scope: scope, Args: args})
}

// bodies adds when each process ran and each host had power.
func (t *tracer) bodies(shots []Shot, nodes int, end int64) {
	type state struct {
		name string
		from int64
	}
	now := make([]state, nodes)
	become := func(n int, at int64, name string) {
		if s := now[n]; s.name != "" && at > s.from {
			t.spans = append(t.spans, traceSpan{process: nodesProcess + n, thread: "process", from: s.from, to: at, name: s.name, category: "process"})
		}
		now[n] = state{name: name, from: at}
	}
	for i := range shots {
		s := &shots[i]
		switch s.Kind {
		case shotUp:
			become(s.Node, s.At, "runs")
		case shotDown:
			become(s.Node, s.At, "dead")
		case shotOff:
			become(s.Node, s.At, "no power")
		case shotPause:
			become(s.Node, s.At, "stands still")
			become(s.Node, s.Until, "runs")
		}
	}
	for n := range now {
		become(n, end, "")
	}
}

// volumes adds the epochs of each volume, and where it was served.
func (t *tracer) volumes(shots []Shot, end int64) {
	var last []*Shot
	ends := func(v int, at int64) {
		if s := last[v]; s != nil {
			t.spans = append(t.spans, traceSpan{
				process: clusterProcess, thread: fmt.Sprintf("v%d", v), from: s.At, to: at, name: fmt.Sprintf("epoch %d", s.Number), category: "epoch",
				args: map[string]any{"copies": s.States, "coordinator": nodeName(s.Node)},
			})
		}
	}
	for i := range shots {
		s := &shots[i]
		if s.Kind != shotConfig || s.Volume < 0 {
			continue
		}
		for len(last) <= s.Volume { // clones come later
			last = append(last, nil)
		}
		ends(s.Volume, s.At)
		before := last[s.Volume]
		last[s.Volume] = s
		t.instant(s.At, clusterProcess, "p", "epoch", fmt.Sprintf("v%d: epoch %d", s.Volume, s.Number), map[string]any{"configuration": s.Text})
		if s.Node >= 0 && before != nil && before.Node != s.Node {
			t.instant(s.At, nodesProcess+s.Node, "p", "takeover", fmt.Sprintf("takes v%d over in epoch %d", s.Volume, s.Number), nil)
		}
	}
	for v := range last {
		ends(v, end)
	}
}

func nodeName(n int) string {
	if n < 0 {
		return "none"
	}
	return fmt.Sprintf("n%d", n)
}

// requests adds what clients asked for, from the question to the answer.
func (t *tracer) requests(shots []Shot, end int64) {
	answers := map[uint64]*Shot{}
	for i := range shots {
		if s := &shots[i]; s.Kind == shotAnswer {
			answers[s.ID] = s
		}
	}
	for i := range shots {
		s := &shots[i]
		if s.Kind != shotAsk {
			continue
		}
		span := traceSpan{
			process: clientsProcess, thread: fmt.Sprintf("client %d", s.Client), from: s.At, to: end, name: s.Type, category: "request",
			args: map[string]any{"volume": s.Volume, "node": nodeName(s.Node), "number": s.ID},
		}
		if s.Count > 0 {
			span.name = fmt.Sprintf("%s %d+%d", s.Type, s.First, s.Count)
		}
		if len(s.Values) > 0 {
			span.args["values"] = s.Values
		}
		if a := answers[s.ID]; a != nil {
			span.to = a.At
			span.args["outcome"] = a.Text
			if len(a.Values) > 0 {
				span.args["values"] = a.Values
			}
		}
		if s.Blamed > 0 {
			span.category, span.args["contradiction"] = "request,contradiction", true
		}
		t.spans = append(t.spans, span)
	}
}

// shot adds what stands by itself. A message has the number of its shot.
func (t *tracer) shot(s *Shot, number int) {
	node := nodesProcess + s.Node
	switch s.Kind {
	case shotMessage:
		t.message(s, number)
	case shotTransfer:
		t.spans = append(t.spans, traceSpan{
			process: node, thread: s.shard + " transfers", from: s.At, to: s.Until, name: s.Type, category: "disk", args: map[string]any{"what": s.Text},
		})
	case shotDecision:
		t.spans = append(t.spans, traceSpan{
			process: node, thread: s.shard, from: s.At, to: s.At + markTime, name: "transaction", category: "metadata", args: map[string]any{"what": s.Text},
		})
	case shotServe:
		t.instant(s.At, node, "p", "takeover", fmt.Sprintf("serves v%d", s.Volume), nil)
	case shotCease:
		t.instant(s.At, node, "p", "takeover", fmt.Sprintf("serves v%d no more: %s", s.Volume, s.Text), nil)
	case shotUp, shotDown, shotOff, shotPause:
		name := map[string]string{shotUp: "process starts", shotDown: "process ends", shotOff: "power is lost", shotPause: "stands still"}[s.Kind]
		t.instant(s.At, node, "p", "crash", name, nil)
	case shotFault:
		t.instant(s.At, max(node, clusterProcess), "g", "fault", s.Text, map[string]any{"until_ms": float64(s.Until) / 1e6})
	case shotCut, shotMend:
		name := map[string]string{shotCut: "nothing gets to n%d", shotMend: "n%d can be reached again"}[s.Kind]
		t.instant(s.At, node, "p", "network", fmt.Sprintf(name, s.Peer), nil)
	case shotUnsynced:
		t.events = append(t.events, traceEvent{Name: "un-synced writes", Phase: "C", At: micros(s.At), Process: node, Args: map[string]any{"writes": s.Number}})
	case shotNote:
		if s.Node < 0 {
			node = clusterProcess
		}
		t.instant(s.At, node, "p", "note", s.Text, nil)
	case shotHeal, shotBroken:
		t.instant(s.At, clusterProcess, "g", s.Kind, s.Text, nil)
	}
}

// message adds both ends of an arrow, or one of what was lost.
func (t *tracer) message(s *Shot, number int) {
	args := map[string]any{"to": fmt.Sprintf("%s %s", nodeName(s.Peer), s.peer), "what": s.Text}
	if len(s.Values) > 0 {
		args["values"] = s.Values
	}
	span := traceSpan{process: nodesProcess + s.Node, thread: s.shard, from: s.At, to: s.At + markTime, name: s.Type, category: "message", args: args, arrow: number}
	if s.Until <= 0 {
		span.name, span.category, span.arrow = s.Type+" (lost)", "message,lost", 0
		if s.Until == underWay {
			span.name, span.category = s.Type+" (under way at the end)", "message"
		}
		t.spans = append(t.spans, span)
		return
	}
	t.spans = append(t.spans, span, traceSpan{
		process: nodesProcess + s.Peer, thread: s.peer, from: s.Until, to: s.Until + markTime, name: s.Type + " arrives", category: "message",
		args: map[string]any{"from": fmt.Sprintf("%s %s", nodeName(s.Node), s.shard)}, arrow: number, arrives: true,
	})
}

// traceThread is a row of a process.
type traceThread struct {
	process int
	name    string
	lane    int // of what happens there at once
	number  int
}

const threadsPerProcess = 1000 // numbers of threads are not shared between processes

// lay gives every slice a thread on which nothing else happens meanwhile, and
// returns the threads.
func (t *tracer) lay() []traceThread {
	slices.SortStableFunc(t.spans, func(a, b traceSpan) int { return cmp.Compare(a.from, b.from) })
	type row struct {
		process int
		name    string
	}
	free := map[row][]int64{} // when each lane of a row is free
	lanes := make([]int, len(t.spans))
	for i := range t.spans {
		s := &t.spans[i]
		at := row{s.process, s.thread}
		lane := slices.IndexFunc(free[at], func(until int64) bool { return until <= s.from })
		if lane < 0 {
			lane = len(free[at])
			free[at] = append(free[at], 0)
		}
		free[at][lane], lanes[i] = s.to, lane
	}
	var threads []traceThread
	for r, all := range free { // any order: they are sorted below
		for lane := range all {
			threads = append(threads, traceThread{process: r.process, name: r.name, lane: lane})
		}
	}
	slices.SortFunc(threads, func(a, b traceThread) int {
		return cmp.Or(cmp.Compare(a.process, b.process), cmp.Compare(rank(a.name), rank(b.name)), cmp.Compare(a.name, b.name), cmp.Compare(a.lane, b.lane))
	})
	numbers := map[row][]int{}
	for i := range threads {
		h := &threads[i]
		h.number = h.process*threadsPerProcess + i + 1
		numbers[row{h.process, h.name}] = append(numbers[row{h.process, h.name}], h.number)
	}
	for i := range t.spans {
		s := &t.spans[i]
		t.slice(s, numbers[row{s.process, s.thread}][lanes[i]])
	}
	return threads
}

// rank is the place of a thread in its process, from the top.
func rank(name string) int {
	return slices.IndexFunc([]string{"process", "orch", "coor", "disk", ""}, func(begin string) bool { return len(name) >= len(begin) && name[:len(begin)] == begin })
}

// slice adds a slice, and the end of its arrow.
func (t *tracer) slice(s *traceSpan, thread int) {
	took := micros(s.to - s.from)
	t.events = append(t.events, traceEvent{
		Name: s.name, Category: s.category, Phase: "X", At: micros(s.from), Duration: &took, Process: s.process, Thread: thread, Args: s.args,
	})
	if s.arrow == 0 {
		return
	}
	arrow := traceEvent{Name: "message", Category: "message", Phase: "s", At: micros(s.from), Process: s.process, Thread: thread, ID: s.arrow}
	if s.arrives {
		arrow.Phase, arrow.Binds = "f", "e"
	}
	t.events = append(t.events, arrow)
}

// nameAll names processes and threads, and says in which order they are drawn.
func (t *tracer) nameAll(nodes int, threads []traceThread) {
	meta := func(process, thread int, what string, key string, value any) {
		t.events = append(t.events, traceEvent{Name: what, Phase: "M", Process: process, Thread: thread, Args: map[string]any{key: value}})
	}
	for process := range nodesProcess + nodes {
		if process == 0 {
			continue // it is nobody's number
		}
		name := map[int]string{clusterProcess: "cluster", clientsProcess: "clients"}[process]
		if name == "" {
			name = nodeName(process - nodesProcess)
		}
		meta(process, process*threadsPerProcess, "process_name", "name", name)
		meta(process, process*threadsPerProcess, "process_sort_index", "sort_index", process)
	}
	for i := range threads {
		h := &threads[i]
		name := h.name
		if h.lane > 0 {
			name = fmt.Sprintf("%s (%d)", name, h.lane+1)
		}
		meta(h.process, h.number, "thread_name", "name", name)
		meta(h.process, h.number, "thread_sort_index", "sort_index", i)
	}
}
