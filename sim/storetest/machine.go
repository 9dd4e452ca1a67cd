package storetest

import (
	"container/heap"
	"fmt"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/sim/disk"
)

// Config is how a machine is made.
type Config struct {
	Seed      uint64 // of the store, the disk and the order of completions
	Capacity  int64
	Journal   int64
	BlockSize int
	Sector    int // 0: drawn
	Limits    store.Limits
	Faults    disk.Faults // from the first open store on
	Faulty    bool        // faults may damage content: refusals are right answers
	Trace     bool
	Marks     map[step.Mark]int        // counts the branches that the store went through; may be nil
	Make      func(store.Params) Store // nil: the real one
}

// Store is what a machine drives: core/store, or the toy that shows that the
// oracle sees what it must see.
type Store interface {
	Format(now step.Time, g store.Geometry, out *step.Effects)
	Open(now step.Time, capacity int64, out *step.Effects)
	Close(now step.Time, out *step.Effects)
	Step(now step.Time, ev *step.Event, out *step.Effects)
	Results() []store.Result
	Space() (capacity, free int64)
	Replicas(list []store.ReplicaInfo) []store.ReplicaInfo
	Create(now step.Time, replica block.ReplicaID, vol block.VolumeID, blocks uint64, image store.Image, meta store.Meta, token uint64, out *step.Effects) (store.Handle, message.Status)
	Delete(now step.Time, h store.Handle, token uint64, out *step.Effects)
	SetMeta(now step.Time, h store.Handle, meta store.Meta, token uint64, out *step.Effects)
	Rewind(now step.Time, h store.Handle, meta store.Meta, token uint64, out *step.Effects) block.Seq
	Reset(now step.Time, h store.Handle, blocks uint64, meta store.Meta, token uint64, out *step.Effects)
	Continue(now step.Time, h store.Handle, at block.Position, meta store.Meta, token uint64, out *step.Effects)
	Append(now step.Time, h store.Handle, rec message.Record, payload block.Buffer, out *step.Effects) message.Status
	Sync(now step.Time, h store.Handle, out *step.Effects)
	SetStable(now step.Time, h store.Handle, seq block.Seq, out *step.Effects)
	Truncate(now step.Time, h store.Handle, era block.Epoch, to block.Seq, token uint64, out *step.Effects) message.Status
	Read(now step.Time, h store.Handle, id block.LayerID, r block.Range, token uint64, out *step.Effects)
	FetchTail(now step.Time, h store.Handle, first, last block.Seq, token uint64, out *step.Effects)
	ListChanged(now step.Time, h store.Handle, id block.LayerID, since block.Seq, cursor, token uint64, out *step.Effects)
	Pull(now step.Time, h store.Handle, id block.LayerID, c block.Chunk, token uint64, out *step.Effects)
	Layers(h store.Handle, list []store.LayerInfo) []store.LayerInfo
	OpenLayer(now step.Time, h store.Handle, id, parent block.LayerID, at block.Position, token uint64, out *step.Effects) message.Status
	DropLayer(now step.Time, h store.Handle, id block.LayerID, token uint64, out *step.Effects) message.Status
	Push(now step.Time, h store.Handle, id block.LayerID, apply uint16, content store.ChunkContent, payload block.Buffer, token uint64, out *step.Effects) message.Status
}

// Machine is one store on one simulated disk, with an oracle that knows what
// the store was asked for and what it promised.
type Machine struct {
	config   Config
	disk     *disk.Disk
	store    Store
	now      step.Time
	sequence uint64
	out      step.Effects
	events   eventHeap
	inFlight int
	tokens   uint64
	owner    uint32

	replicas []*replica // by slot; nil where none is
	gone     map[block.ReplicaID]bool
	handles  map[store.Handle]block.ReplicaID // every handle that was ever durable
	expected map[uint64]func(*store.Result)   // by token
	opened   bool
	closed   bool
	stopped  string // why the store stopped serving
	faulty   bool   // refusals are right answers
	lossy    bool   // since the store was last seen whole, more than a process died
	refused  int    // blocks that were rightly not returned

	onBoundary func(*Machine) // called wherever a crash would find another state
	onStatus   func(full bool)
	operations []operation // what the store asked of the disk
	trace      []string
	failure    error
	scrub      scrubbing
}

type event struct {
	at     step.Time
	order  uint64
	disk   bool
	handle disk.Handle
	tag    step.Tag
	kind   step.DiskKind
}

// operation is one thing that the store asked of the disk.
type operation struct {
	number         uint64 // its place among all: what disk.Planned names
	kind           step.DiskKind
	offset, length int64
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// New returns a machine whose disk is formatted and whose store is open.
func New(c Config) *Machine {
	m := &Machine{
		config:   c,
		disk:     disk.New(disk.Params{Size: c.Capacity, Seed: c.Seed, Sector: c.Sector}),
		gone:     make(map[block.ReplicaID]bool),
		handles:  make(map[store.Handle]block.ReplicaID),
		expected: make(map[uint64]func(*store.Result)),
		now:      1,
		faulty:   c.Faulty,
	}
	m.boot()
	g := store.Geometry{Disk: block.DiskID{1, byte(c.Seed)}, Capacity: c.Capacity, BlockSize: c.BlockSize, JournalBytes: c.Journal}
	m.store.Format(m.now, g, &m.out)
	m.settle()
	m.Drain()
	if m.stopped != "" {
		m.fail("the disk was not formatted: %s", m.stopped)
		return m
	}
	m.boot()
	m.open()
	m.disk.SetFaults(c.Faults)
	return m
}

// boot makes a new store, as the start of a process does.
func (m *Machine) boot() {
	m.owner++
	p := store.Params{Pool: pool{}, Seed: m.config.Seed + uint64(m.owner), Owner: m.owner, Limits: m.config.Limits}
	if m.config.Make == nil {
		m.store = store.New(p)
	} else {
		m.store = m.config.Make(p)
	}
	m.out = step.Effects{}
	m.out.Marks.Counts = m.config.Marks
	m.events, m.inFlight = nil, 0
	clear(m.expected)
	m.opened, m.closed, m.stopped = false, false, ""
	m.scrub.running, m.scrub.due = false, false // it goes on from its cursor
}

func (m *Machine) open() {
	m.log("open")
	m.store.Open(m.now, m.config.Capacity, &m.out)
	m.settle()
	m.Drain()
	if !m.opened && m.stopped == "" {
		m.fail("Open came to rest without Opened or Failed")
	}
}

// Err returns the first thing that was wrong.
func (m *Machine) Err() error { return m.failure }

func (m *Machine) fail(format string, values ...any) {
	if m.failure == nil {
		m.failure = fmt.Errorf(format, values...)
		m.log("FAILED: %v", m.failure)
	}
}

func (m *Machine) log(format string, values ...any) {
	if m.config.Trace {
		m.trace = append(m.trace, fmt.Sprintf("%12d %s", m.now, fmt.Sprintf(format, values...)))
	}
}

func (m *Machine) boundary() {
	if m.onBoundary != nil && m.failure == nil {
		m.onBoundary(m)
	}
}

// settle performs the effects of the last call of the store and takes its results.
func (m *Machine) settle() {
	m.takeResults()
	submitted := len(m.out.Disk) > 0
	for i := range m.out.Disk {
		op := &m.out.Disk[i]
		h, after := m.disk.Submit(op)
		m.inFlight++
		m.operations = append(m.operations, operation{m.disk.Ops(), op.Kind, op.Offset, int64(lengthOf(op))})
		m.log("  submit %s at %d, %d bytes", kindName(op.Kind), op.Offset, lengthOf(op))
		m.schedule(event{at: m.now.Add(after), disk: true, handle: h, tag: op.Tag, kind: op.Kind})
	}
	for _, t := range m.out.Timers {
		m.schedule(event{at: t.At, tag: t.Tag})
	}
	m.out.Reset()
	if submitted {
		m.boundary()
	}
	m.goOnScrubbing()
}

func (m *Machine) schedule(e event) {
	m.sequence++
	e.order = m.sequence
	heap.Push(&m.events, e)
}

// next runs the next event; false if there is none up to until.
func (m *Machine) next(until step.Time) bool {
	if len(m.events) == 0 || m.events[0].at > until || m.failure != nil {
		return false
	}
	e := heap.Pop(&m.events).(event)
	m.now = max(m.now, e.at)
	ev := step.Event{Kind: step.EventTimer, Tag: e.tag}
	if e.disk {
		m.inFlight--
		ev.Kind = step.EventDiskDone
		ev.DiskError = m.disk.Complete(e.handle)
		m.log("  done %s: %d", kindName(e.kind), ev.DiskError)
		if e.kind != step.DiskRead {
			m.boundary()
		}
	}
	m.store.Step(m.now, &ev, &m.out)
	m.settle()
	return true
}

// due is beyond every time of a run.
const due = step.Time(1 << 62)

const drainEventsMax = 1_000_000 // more than any script needs: the store is spinning

// Drain runs until no disk operation is in flight.
func (m *Machine) Drain() {
	for n := 0; m.inFlight > 0 && m.next(due); n++ {
		if n > drainEventsMax {
			m.fail("the store does not come to rest")
		}
	}
}

// Run runs at most count events that are due without waiting for a timer.
func (m *Machine) Run(count int) {
	for ; count > 0 && m.inFlight > 0; count-- {
		m.next(due)
	}
}

// Idle lets time pass, with its timers.
func (m *Machine) Idle(d time.Duration) {
	until := m.now.Add(d)
	for n := 0; m.next(until); n++ {
		if n > drainEventsMax {
			m.fail("the store does not come to rest")
		}
	}
	m.now = max(m.now, until)
	m.Drain()
}

func (m *Machine) takeResults() {
	results := m.store.Results()
	for i := range results {
		m.onResult(&results[i])
	}
}

func (m *Machine) onResult(r *store.Result) {
	switch r.Kind {
	case store.Formatted:
	case store.Opened:
		m.opened = true
	case store.Failed:
		m.stopped = r.Text
		m.log("  failed: %s", r.Text)
	case store.Closed:
		m.closed = true
	case store.Accepted:
		m.onAccepted(r)
	case store.Refused:
		m.onRefused(r)
	case store.Durable:
		m.onDurable(r)
	case store.RecordDone, store.ReadDone, store.TailRecord, store.TailDone, store.ChangesDone, store.PullDone, store.PushDone,
		store.ScrubDone, store.RepairDone:
		f := m.expected[r.Token]
		if f == nil {
			m.fail("result %d for token %d, which nobody waits for", r.Kind, r.Token)
			return
		}
		if r.Kind != store.TailRecord {
			delete(m.expected, r.Token)
		}
		f(r)
	case store.Rotten:
		m.onRotten(r)
	default:
		m.fail("result of kind %d", r.Kind)
	}
}

func (m *Machine) onAccepted(r *store.Result) {
	rep := m.byHandle(r.Handle)
	if rep == nil {
		m.fail("accepted %v for handle %d, which is no replica", r.Position, r.Handle)
		return
	}
	n, ok := rep.find(r.Position)
	if !ok {
		m.fail("accepted %v, which was never appended to replica %x", r.Position, rep.id[:2])
		return
	}
	m.log("  accepted %v", r.Position)
	rep.accepted = max(rep.accepted, n)
}

// onRefused forgets an append that was taken and found no room after all, and
// those behind it.
func (m *Machine) onRefused(r *store.Result) {
	rep := m.byHandle(r.Handle)
	if rep == nil {
		m.fail("refused %v for handle %d, which is no replica", r.Position, r.Handle)
		return
	}
	n, ok := rep.find(r.Position)
	if !ok || n <= rep.accepted {
		m.fail("refused %v of replica %x, which was never appended, or accepted", r.Position, rep.id[:2])
		return
	}
	m.log("  refused %v", r.Position)
	kept, anew := rep.log[:n-1:n-1], false
	for _, a := range rep.log[n-1:] {
		if anew = anew || a.kind == actReset || a.kind == actContinue; anew || a.kind != actRecord {
			kept = append(kept, a)
		}
	}
	rep.log = kept
}

func (m *Machine) onDurable(r *store.Result) {
	rep := m.byHandle(r.Handle)
	if rep == nil {
		m.fail("durable %d for handle %d, which is no replica", r.Position.Seq, r.Handle)
		return
	}
	n, ok := rep.findSeq(r.Position.Seq)
	if ok && n > 0 && rep.log[n-1].kind == actContinue {
		return // told of where the stream goes on; RecordDone follows
	}
	if !ok || n > rep.accepted {
		m.fail("durable %d of replica %x, of which %d acts are accepted, not %d", r.Position.Seq, rep.id[:2], rep.accepted, n)
		return
	}
	m.log("  durable %d", r.Position.Seq)
	rep.durable = max(rep.durable, n)
}

func (m *Machine) byHandle(h store.Handle) *replica {
	for _, r := range m.replicas {
		if r != nil && r.handle == h {
			return r
		}
	}
	return nil
}

// token returns a new token; f gets its result.
func (m *Machine) token(f func(*store.Result)) uint64 {
	m.tokens++
	m.expected[m.tokens] = f
	return m.tokens
}

func kindName(k step.DiskKind) string {
	return [...]string{step.DiskRead: "read", step.DiskWrite: "write", step.DiskSync: "sync"}[k]
}

func lengthOf(op *step.DiskOp) (n int) {
	for _, p := range op.Pieces {
		n += p.Len()
	}
	return n
}

func good(s message.Status) bool { return s == message.OK }
