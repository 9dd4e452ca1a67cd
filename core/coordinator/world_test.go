package coordinator_test

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/coordinator"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// world is the smallest body of a coordinator: members that answer at once
// unless told otherwise, and a metadata store of one key. The real thing is in
// sim; this one shows single exchanges.
type world struct {
	t        testing.TB
	c        *coordinator.Coordinator
	now      step.Time
	window   coordinator.Window
	out      step.Effects
	timers   []step.Timer
	members  []*fakeMember
	conns    map[step.Conn]*fakeMember
	config   *volume.Config
	configAt metadata.Revision
	revision metadata.Revision // of the store
	unknown  int               // transactions to leave unanswered although applied
	answers  map[uint64]step.Completion
	controls []step.Control

	snapshots   *volume.Snapshots // as recorded
	snapshotsAt metadata.Revision

	placement   *volume.Placement // as recorded
	placementAt metadata.Revision
}

type fakeMember struct {
	id          block.ReplicaID
	node        block.NodeID
	down        bool
	mute        bool      // reads messages, answers none
	noAck       bool      // answers everything but APPEND and SYNC
	noRoom      block.Seq // of the write that it has no room for; 0: it has for all
	noRoomFor   message.Op
	full        bool // has no room for what a resync copies
	incarnation block.Incarnation
	boot        block.BootID
	last        block.Position
	durable     block.Seq
	blocks      uint64 // 0: as many as the volume began with
	tainted     bool
	incomplete  bool
	rotten      bool             // it can read no block, until one is written
	noMend      bool             // does not answer a REPAIR
	noData      bool             // nor a READ
	log         []message.Record // since it was last emptied
	resyncs     int              // how often that was
	given       []message.Record // beside the stream, by resyncs
	noEnd       bool             // does not answer the end of a resync
	changed     []block.Chunk    // what it lists, once
	page        int              // how many of them at a time
	pulls       []step.Send      // that it was sent, and has not answered
	room        uint32           // of its disk for what a resync brings
}

const blockSize = 64

func newWorld(t testing.TB, copies int) *world {
	w := &world{t: t, window: coordinator.DefaultWindow(), conns: map[step.Conn]*fakeMember{}, revision: 7, configAt: 7, answers: map[uint64]step.Completion{}, now: step.Time(time.Hour)}
	w.config = &volume.Config{
		Format: volume.Format, Volume: block.VolumeID{9}, Blocks: 1024, Epoch: 1,
		CleanAt: &block.Position{}, MinWritable: 1, Recovery: "wait",
	}
	for i := range copies {
		m := &fakeMember{
			id: block.ReplicaID{byte(i + 1)}, node: block.NodeID{byte(i + 1)},
			incarnation: block.Incarnation(100 + i), boot: block.BootID{byte(i + 1)},
		}
		w.members = append(w.members, m)
		w.config.Members = append(w.config.Members, volume.Member{Replica: m.id, Node: m.node, Disk: block.DiskID{byte(i + 1)}, State: volume.InSync})
	}
	w.window.Kept = 0 // who was put out is filled
	w.c = w.newCoordinator(1)
	return w
}

func (w *world) newCoordinator(seed uint64) *coordinator.Coordinator {
	return coordinator.New(coordinator.Params{
		Node: block.NodeID{1}, Volume: w.config.Volume, Seed: seed, BlockSize: blockSize, Pool: block.Heap{},
		Config: w.config, Revision: w.configAt, Attached: 3, Window: w.window,
	})
}

func (w *world) step(ev step.Event) {
	w.c.Step(w.now, &ev, &w.out)
	w.settle()
}

// settle performs effects until there are none left.
func (w *world) settle() {
	for w.pending() {
		e := w.out
		w.out = step.Effects{}
		w.timers = append(w.timers, e.Timers...)
		w.controls = append(w.controls, e.Controls...)
		for _, c := range e.Completions {
			w.answers[c.ID] = c
		}
		for _, d := range e.Dials {
			w.dial(d)
		}
		for _, conn := range e.Closes {
			delete(w.conns, conn)
		}
		for _, s := range e.Sends {
			w.deliver(s)
		}
		for _, t := range e.Transactions {
			w.transact(t)
		}
	}
}

func (w *world) pending() bool {
	e := &w.out
	return len(e.Dials)+len(e.Sends)+len(e.Closes)+len(e.Timers)+len(e.Transactions)+len(e.Completions)+len(e.Controls) > 0
}

func (w *world) event(ev step.Event) { w.c.Step(w.now, &ev, &w.out) }

func (w *world) dial(d step.Dial) {
	for _, m := range w.members {
		if m.id != d.Hello.Replica {
			continue
		}
		if m.down {
			w.event(step.Event{Kind: step.EventClosed, Conn: d.Conn, ConnError: step.ConnRefused})
			return
		}
		w.conns[d.Conn] = m
		w.event(step.Event{Kind: step.EventConnected, Conn: d.Conn})
	}
}

func (w *world) deliver(s step.Send) {
	m := w.conns[s.Conn]
	if m == nil || m.mute {
		return
	}
	if s.Message.Kind == message.Pull {
		m.pulls = append(m.pulls, s)
	}
	reply, ok := m.answer(&s.Message)
	if ok {
		w.event(step.Event{Kind: step.EventMessage, Conn: s.Conn, Message: reply})
	}
}

func (m *fakeMember) answer(msg *message.Message) (message.Message, bool) {
	switch msg.Kind {
	case message.Prepare:
		return message.Message{Kind: message.Promise, Era: msg.Era, Promise: &message.PromiseInfo{
			Incarnation: m.incarnation, BootID: m.boot, Tainted: m.tainted, Complete: !m.incomplete,
			LastAccepted: m.last, Durable: m.durable, Blocks: m.blocks,
		}}, true
	case message.Append:
		switch at := msg.Record.Position.Seq; {
		case m.noRoom != 0 && at > m.last.Seq+1:
			return message.Message{}, false // it follows a refusal
		case m.noRoom == at && msg.Record.Op == message.OpWrite, m.noRoomFor != message.OpInvalid && m.noRoomFor == msg.Record.Op:
			return message.Message{Kind: message.Ack, Status: message.NoSpace, Seq: at, Accepted: m.last.Seq, Durable: m.durable}, true
		}
		m.log = append(m.log, msg.Record)
		m.rotten = m.rotten && msg.Record.Op != message.OpWrite && msg.Record.Op != message.OpZero
		m.blocks = max(m.blocks, msg.Record.Blocks)
		m.last = msg.Record.Position
	case message.Sync:
		m.durable = m.last.Seq
	case message.ResyncBegin:
		m.resyncs++
		m.log = nil
		m.given = append(m.given, msg.Record)
		done := message.Message{Kind: message.Done, Request: msg.Request, Layers: []message.LayerInfo{{Blocks: msg.Record.Blocks}}}
		if m.full {
			done.Status = message.NoSpace
		}
		return done, true
	case message.ListLayers:
		return message.Message{Kind: message.Layers, Request: msg.Request, Layers: []message.LayerInfo{{Blocks: m.blocks}}}, true
	case message.Shape:
		m.given = append(m.given, msg.Record)
		return message.Message{Kind: message.Done, Request: msg.Request}, true
	case message.ListChanged:
		return m.list(msg), true
	case message.Pull:
		return message.Message{}, false
	case message.Push:
		return message.Message{Kind: message.Done, Request: msg.Request, Credit: m.room}, true
	case message.ResyncLive:
		m.last, m.durable = msg.Position, msg.Position.Seq
		return message.Message{Kind: message.Done, Request: msg.Request}, true
	case message.Repair:
		return message.Message{Kind: message.Done, Request: msg.Request}, !m.noMend
	case message.ResyncEnd:
		return message.Message{Kind: message.Done, Request: msg.Request}, !m.noEnd
	case message.Grant:
		return message.Message{Kind: message.Granted, Request: msg.Request}, true
	case message.Read:
		if m.rotten {
			return message.Message{Kind: message.Data, Request: msg.Request, Range: msg.Range, Status: message.Corrupt}, !m.noData
		}
		data := block.Heap{}.Get(int(msg.Range.Count) * blockSize)
		return message.Message{
			Kind: message.Data, Request: msg.Request, Range: msg.Range, Payload: data,
			Checksums: block.ChecksumsOf(data.Bytes(), blockSize),
		}, !m.noData
	default:
		return message.Message{Kind: message.Done, Request: msg.Request}, true
	}
	if m.noAck {
		return message.Message{}, false
	}
	return message.Message{Kind: message.Ack, Accepted: m.last.Seq, Durable: m.durable}, true
}

// list answers a LIST CHANGED; its cursor is how many were listed.
func (m *fakeMember) list(msg *message.Message) message.Message {
	answer := message.Message{Kind: message.Changed, Request: msg.Request, Stable: max(msg.Seq, m.durable)}
	for len(m.changed) > 0 && len(answer.Changes) < m.page {
		answer.Changes = append(answer.Changes, message.Change{Chunk: m.changed[0]})
		m.changed = m.changed[1:]
	}
	if len(m.changed) > 0 {
		answer.Cursor = msg.Cursor + uint64(m.page)
	}
	return answer
}

func (w *world) transact(t step.Transaction) {
	res := metadata.Result{Outcome: metadata.Refused, Revision: w.revision}
	switch {
	case len(t.Txn.Ops) > 0 && t.Txn.Ops[0].Key == volume.SnapshotsKey(w.config.Volume):
		res = w.transactSnapshots(&t)
	case w.movedOn(&t):
	case len(t.Txn.Guards) == 0 || t.Txn.Guards[0].Revision == w.configAt:
		res.Outcome = metadata.Applied
		if len(t.Txn.Ops) > 0 {
			w.revision++
			config, err := volume.ParseConfig(t.Txn.Ops[0].Value)
			if err != nil {
				w.t.Fatal(err)
			}
			w.config, w.configAt = config, w.revision
		}
		res.Revision = w.revision
	}
	res.Items = []metadata.Item{
		{Key: volume.AttachmentKey(w.config.Volume), Revision: 3},
		{Key: volume.ConfigKey(w.config.Volume), Value: w.config.Encode(), Revision: w.configAt},
	}
	if w.snapshots != nil {
		res.Items = append(res.Items, metadata.Item{
			Key: volume.SnapshotsKey(w.config.Volume), Value: volume.Encode(*w.snapshots), Revision: w.snapshotsAt,
		})
	}
	if w.placement != nil {
		res.Items = append(res.Items, metadata.Item{
			Key: volume.PlacementKey(w.config.Volume), Value: volume.Encode(*w.placement), Revision: w.placementAt,
		})
	}
	if w.unknown > 0 {
		w.unknown--
		res = metadata.Result{Outcome: metadata.Unknown}
	}
	w.event(step.Event{Kind: step.EventTransaction, Tag: t.Tag, Result: res})
}

// pass lets d of time go by, firing timers in order.
func (w *world) pass(d time.Duration) {
	end := w.now.Add(d)
	for {
		first := -1
		for i, t := range w.timers {
			if t.At <= end && (first < 0 || t.At < w.timers[first].At) {
				first = i
			}
		}
		if first < 0 {
			w.now = end
			return
		}
		t := w.timers[first]
		w.timers = append(w.timers[:first], w.timers[first+1:]...)
		w.now = max(w.now, t.At)
		w.step(step.Event{Kind: step.EventTimer, Tag: t.Tag})
	}
}

// restart gives a member a new life that holds the records up to one, and breaks
// its connection.
func (w *world) restart(m *fakeMember, last block.Position) {
	m.incarnation++
	m.last, m.durable = last, last.Seq
	for conn, of := range w.conns { // there is one
		if of == m {
			delete(w.conns, conn)
			w.step(step.Event{Kind: step.EventClosed, Conn: conn, ConnError: step.ConnReset})
			return
		}
	}
}

// content returns a block that is not zero.
func content() block.Buffer {
	b := block.Heap{}.Get(blockSize)
	b.Bytes()[blockSize/2] = 1
	return b
}

func (w *world) write(id uint64, first block.Block) {
	payload := content()
	w.step(step.Event{Kind: step.EventRequest, Request: step.Request{
		ID: id, Kind: step.WriteRequest, Range: block.Range{First: first, Count: 1}, Payload: payload,
	}})
}

func (w *world) request(id uint64, kind step.RequestKind, first block.Block) {
	r := step.Request{ID: id, Kind: kind, Range: block.Range{First: first, Count: 1}}
	if kind == step.FlushRequest {
		r.Range = block.Range{}
	}
	w.step(step.Event{Kind: step.EventRequest, Request: r})
}

func (w *world) start() {
	w.step(step.Event{Kind: step.EventStart})
	if !w.c.Serving() {
		w.t.Fatal("the coordinator does not serve although every member answers")
	}
}

func (w *world) expectAnswer(id uint64, want step.RequestError) {
	w.t.Helper()
	got, answered := w.answers[id]
	if !answered {
		w.t.Fatalf("request %d was not answered", id)
	}
	if got.Error != want {
		w.t.Fatalf("request %d ended with %d, want %d", id, got.Error, want)
	}
}

func (w *world) expectNoAnswer(id uint64) {
	w.t.Helper()
	if got, answered := w.answers[id]; answered {
		w.t.Fatalf("request %d was answered with %d, want no answer yet", id, got.Error)
	}
}

func (w *world) expectState(member int, want volume.State) {
	w.t.Helper()
	if got := w.config.Members[member].State; got != want {
		w.t.Fatalf("member %d is %s, want %s", member, got, want)
	}
}
