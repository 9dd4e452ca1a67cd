package node_test

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
)

const (
	blockSize = 4096
	diskSize  = 64 << 20
)

// rig is a disk's shard over memory that does everything at once and forgets
// nothing. What can go wrong below it is the simulator's subject.
type rig struct {
	t        *testing.T
	disk     *node.Disk
	boot     block.BootID
	data     []byte
	now      step.Time
	out      step.Effects
	timers   []step.Timer
	sent     map[step.Conn][]message.Message
	closed   map[step.Conn]bool
	controls []step.Control
	failing  bool // writes fail
	held     bool // disk operations wait
	waiting  []step.DiskOp
	taint    uint32
	seed     uint64
}

var (
	replicaID = block.ReplicaID{1}
	volumeID  = block.VolumeID{2}
	diskID    = block.DiskID{3}
)

func newRig(t *testing.T) *rig {
	r := &rig{t: t, data: make([]byte, diskSize), now: step.Time(time.Hour), boot: block.BootID{9}}
	s := store.New(store.Params{Pool: block.Heap{}, Seed: 1})
	var out step.Effects
	s.Format(r.now, store.Geometry{Disk: diskID, Capacity: diskSize, BlockSize: blockSize, JournalBytes: 4 << 20}, &out)
	for len(out.Disk) > 0 {
		ops := out.Disk
		out = step.Effects{}
		for _, op := range ops {
			r.transfer(op)
			s.Step(r.now, &step.Event{Kind: step.EventDiskDone, Tag: op.Tag}, &out)
		}
	}
	r.start()
	return r
}

// start begins a new life of the shard: what was not on the disk is gone.
func (r *rig) start() {
	r.seed++
	r.sent, r.closed = map[step.Conn][]message.Message{}, map[step.Conn]bool{}
	r.timers, r.controls, r.waiting = nil, nil, nil
	r.out = step.Effects{}
	r.disk = node.NewDisk(node.Params{
		Node: volume.Node{BootID: r.boot}, Seed: r.seed, BlockSize: blockSize, Pool: block.Heap{},
	}, node.DiskParams{Capacity: diskSize, Taint: r.taint})
	r.step(step.Event{Kind: step.EventStart})
}

func (r *rig) step(ev step.Event) {
	r.disk.Step(r.now, &ev, &r.out)
	for {
		e := r.out
		r.out = step.Effects{}
		r.timers = append(r.timers, e.Timers...)
		r.controls = append(r.controls, e.Controls...)
		for _, s := range e.Sends {
			r.sent[s.Conn] = append(r.sent[s.Conn], s.Message)
		}
		for _, conn := range e.Closes {
			r.closed[conn] = true
		}
		r.waiting = append(r.waiting, e.Disk...)
		if r.held || len(r.waiting) == 0 {
			return
		}
		ops := r.waiting
		r.waiting = nil
		for _, op := range ops {
			done := step.Event{Kind: step.EventDiskDone, Tag: op.Tag}
			if r.failing && op.Kind == step.DiskWrite {
				r.taint++
				done.DiskError, done.Taint = step.DiskEIO, r.taint
			} else {
				r.transfer(op)
			}
			r.disk.Step(r.now, &done, &r.out)
		}
	}
}

func (r *rig) transfer(op step.DiskOp) {
	at := op.Offset
	for _, p := range op.Pieces {
		switch op.Kind {
		case step.DiskRead:
			copy(p.Bytes(), r.data[at:])
		case step.DiskWrite:
			copy(r.data[at:], p.Bytes())
		case step.DiskSync:
		}
		at += int64(p.Len())
	}
}

// pass lets d of time go by.
func (r *rig) pass(d time.Duration) {
	end := r.now.Add(d)
	for i := 0; i < len(r.timers); i++ {
		if t := r.timers[i]; t.At <= end {
			r.timers = append(r.timers[:i], r.timers[i+1:]...)
			r.now = max(r.now, t.At)
			r.step(step.Event{Kind: step.EventTimer, Tag: t.Tag})
			i = -1
		}
	}
	r.now = end
}

// heard reports whether a control of that kind was sent.
func (r *rig) heard(kind step.ControlKind) bool {
	for _, c := range r.controls {
		if c.Kind == kind {
			return true
		}
	}
	return false
}

func (r *rig) config(state volume.State) *volume.Config {
	return &volume.Config{
		Format: volume.Format, Volume: volumeID, Blocks: 1024, Epoch: 1, CleanAt: &block.Position{},
		Members: []volume.Member{{Replica: replicaID, Disk: diskID, State: state}},
	}
}

func (r *rig) makeReplica(state volume.State) {
	r.step(step.Event{Kind: step.EventControl, Control: step.Control{
		Kind: step.MakeReplica, Disk: diskID, Replica: replicaID, Volume: volumeID, Config: r.config(state),
	}})
	if last := r.controls[len(r.controls)-1]; last.Kind != step.ReplicaMade {
		r.t.Fatalf("last control is %d, want ReplicaMade", last.Kind)
	}
}

// connect opens a connection of a session.
func (r *rig) connect(conn step.Conn, session block.Session, number uint64) {
	r.step(step.Event{Kind: step.EventAccepted, Conn: conn, Hello: message.Hello{
		Version: message.Version, Volume: volumeID, Replica: replicaID, Disk: diskID, Session: session, Number: number,
	}})
}

func (r *rig) send(conn step.Conn, m message.Message) {
	r.step(step.Event{Kind: step.EventMessage, Conn: conn, Message: m})
}

// answer returns the last message that was sent on conn and checks its kind.
func (r *rig) answer(conn step.Conn, want message.Kind) message.Message {
	r.t.Helper()
	sent := r.sent[conn]
	if len(sent) == 0 {
		r.t.Fatalf("nothing was sent on connection %d, want kind %d", conn, want)
	}
	last := sent[len(sent)-1]
	if last.Kind != want {
		r.t.Fatalf("kind %d was sent last on connection %d, want %d", last.Kind, conn, want)
	}
	return last
}

func (r *rig) prepare(conn step.Conn, era block.Epoch) *message.PromiseInfo {
	r.t.Helper()
	r.send(conn, message.Message{Kind: message.Prepare, Era: era})
	return r.answer(conn, message.Promise).Promise
}

// appendTo sends one write of a block filled with fill.
func (r *rig) appendTo(conn step.Conn, era block.Epoch, seq block.Seq, first block.Block, fill byte) {
	payload := filled(1, fill)
	r.send(conn, message.Message{Kind: message.Append, Era: era, Payload: payload, Record: message.Record{
		Position: block.Position{Era: era, Seq: seq}, Op: message.OpWrite, Range: block.Range{First: first, Count: 1},
		Checksums: block.ChecksumsOf(payload.Bytes(), blockSize),
	}})
}

func filled(blocks int, fill byte) block.Buffer {
	b := block.Heap{}.Get(blocks * blockSize)
	for i := range b.Bytes() {
		b.Bytes()[i] = fill
	}
	return b
}

// read returns the first byte of a block, read over conn.
func (r *rig) read(conn step.Conn, era block.Epoch, b block.Block) byte {
	r.t.Helper()
	r.send(conn, message.Message{Kind: message.Read, Era: era, Request: 1, Range: block.Range{First: b, Count: 1}})
	m := r.answer(conn, message.Data)
	if m.Status != message.OK {
		r.t.Fatalf("read of block %d ended with status %d", b, m.Status)
	}
	return m.Payload.Bytes()[0]
}
