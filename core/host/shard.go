package host

import (
	"errors"
	"log/slog"
	"sync"

	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
)

// acceptedConn marks the connection numbers that this body hands out; the
// others are a machine's own, of connections that it dialled.
const acceptedConn = step.Conn(1) << 63

// shard is one machine and the lock under which it steps. Whoever holds an
// event steps the machine itself, on its own goroutine: there is no queue in
// front of it. Effects are performed after the lock is given back, but for the
// sends of a connection, which are queued under it so that they keep their
// order.
type shard struct {
	host   *Host
	name   slog.Attr
	disk   *diskio.Queue // of a disk's shard
	volume *Volume       // of a coordinator's shard

	mu       sync.Mutex // guards what follows
	machine  node.Machine
	conns    map[step.Conn]transport.Conn
	accepted step.Conn // number of the last accepted connection
	broken   bool      // an invariant did not hold: the machine is not stepped any more
	gone     bool      // the shard was removed
}

func newShard(h *Host, name slog.Attr, m node.Machine) *shard {
	return &shard{host: h, name: name, machine: m, conns: map[step.Conn]transport.Conn{}}
}

// deliver steps the machine with ev and performs the effects. The connections
// that were written to are appended to unflushed, or flushed if that is nil.
func (s *shard) deliver(ev *step.Event, unflushed *[]transport.Conn) {
	out := s.host.effects.Get().(*effects)
	s.mu.Lock()
	s.step(ev, out)
	s.mu.Unlock()
	s.finish(out, unflushed)
}

// deliverDone is deliver for completions of the shard's disk. What the machine
// asks of the disk after them is appended to next, and left to the caller.
func (s *shard) deliverDone(done []step.Event, next []step.DiskOp) []step.DiskOp {
	out := s.host.effects.Get().(*effects)
	s.mu.Lock()
	for i := range done {
		s.step(&done[i], out)
	}
	s.mu.Unlock()
	if s.disk.Running() {
		next = append(next, out.Disk...)
	}
	clear(out.Disk)
	out.Disk = out.Disk[:0]
	s.finish(out, nil)
	return next
}

// deliverAll is deliver for several events under one hold of the lock. prepare
// makes the event of each index just before it is stepped.
func (s *shard) deliverAll(n int, prepare func(i int, ev *step.Event)) {
	out := s.host.effects.Get().(*effects)
	s.mu.Lock()
	for i := range n {
		prepare(i, &out.event)
		s.step(&out.event, out)
	}
	s.mu.Unlock()
	s.finish(out, nil)
}

// step runs the machine and what must happen in order, under the lock.
func (s *shard) step(ev *step.Event, out *effects) {
	if s.broken || s.gone {
		s.refuse(ev, out)
		return
	}
	events := len(out.Events)
	s.stepMachine(ev, out)
	s.host.events.add(out.Events[min(events, len(out.Events)):]) // here, so that they keep their order
	s.connect(out)
}

func (s *shard) stepMachine(ev *step.Event, out *effects) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case invariant.Broken:
			s.stop(p, out)
		default:
			panic(p)
		}
	}()
	s.machine.Step(s.host.params.Clock(), ev, &out.Effects)
}

// stop ends a machine whose invariant was broken: a stopped one is repaired, a
// wrong one spreads. Its peers see its connections close.
func (s *shard) stop(why error, out *effects) {
	s.broken = true
	s.host.log.Error("shard stopped by a broken invariant", s.name, slog.Any("error", why))
	out.Reset()
	for id, c := range s.conns { // any order: all of them
		c.Close()
		out.due(c)
		delete(s.conns, id)
	}
	out.stopped = true
}

// refuse answers what reaches a shard that does not step any more.
func (s *shard) refuse(ev *step.Event, out *effects) {
	ev.Message.Payload.Release()
	if ev.Kind == step.EventRequest {
		ev.Request.Payload.Release()
		out.Completions = append(out.Completions, step.Completion{ID: ev.Request.ID, Error: step.RequestRefused})
	}
}

// connect performs the effects on connections. Sends keep their order because
// the lock is held; none of these calls waits or calls back.
func (s *shard) connect(out *effects) {
	for i := range out.Dials {
		d := &out.Dials[i]
		c := s.host.dial(s, d)
		s.conns[d.Conn] = c
		out.due(c)
	}
	for i := range out.Sends {
		send := &out.Sends[i]
		c := s.conns[send.Conn]
		if c == nil {
			send.Message.Payload.Release()
			continue
		}
		c.Send(&send.Message)
		out.due(c)
	}
	for _, id := range out.Closes {
		if c := s.conns[id]; c != nil {
			c.Close()
			out.due(c)
			delete(s.conns, id)
		}
	}
	clear(out.Sends)
	out.Dials, out.Sends, out.Closes = out.Dials[:0], out.Sends[:0], out.Closes[:0]
}

// finish performs what is left, without the lock, and gives the effects back.
func (s *shard) finish(out *effects, unflushed *[]transport.Conn) {
	if unflushed != nil {
		*unflushed = append(append(*unflushed, out.remote...), out.local...)
	} else {
		flush(out.remote)
		flush(out.local)
	}
	s.host.perform(s, out)
	out.reset()
	s.host.effects.Put(out)
}

func flush(list []transport.Conn) {
	for _, c := range list {
		c.Flush()
	}
}

// remove ends the shard: late events find nothing.
func (s *shard) remove() {
	s.mu.Lock()
	s.gone = true
	var conns []transport.Conn
	for id, c := range s.conns { // any order: all of them
		c.Close()
		conns = append(conns, c)
		delete(s.conns, id)
	}
	s.mu.Unlock()
	flush(conns) // the other end of a local one hears of it
}

// accept takes a peer's connection into a disk's shard.
func (s *shard) accept(c transport.Conn, hello *message.Hello) (transport.Handler, error) {
	s.mu.Lock()
	if s.broken || s.gone {
		s.mu.Unlock()
		return nil, errors.New("the disk does not serve")
	}
	s.accepted++
	id := acceptedConn | s.accepted
	s.conns[id] = c
	s.mu.Unlock()
	ev := step.Event{Kind: step.EventAccepted, Conn: id, Hello: *hello}
	s.deliver(&ev, nil)
	return &link{shard: s, id: id}, nil
}

// link hears of one connection and brings it to its shard.
type link struct {
	shard     *shard
	id        step.Conn
	event     step.Event       // reused: calls come one at a time
	unflushed []transport.Conn // written to since the batch began
}

// Connected implements transport.Handler.
func (l *link) Connected(transport.Conn) {
	l.event = step.Event{Kind: step.EventConnected, Conn: l.id}
	l.shard.deliver(&l.event, nil)
}

// Message implements transport.Handler.
func (l *link) Message(_ transport.Conn, m *message.Message) {
	l.event.Kind, l.event.Conn, l.event.Message = step.EventMessage, l.id, *m
	l.shard.deliver(&l.event, &l.unflushed)
}

// BatchEnd implements transport.Handler.
func (l *link) BatchEnd(transport.Conn) {
	flush(l.unflushed)
	clear(l.unflushed)
	l.unflushed = l.unflushed[:0]
}

// Closed implements transport.Handler.
func (l *link) Closed(_ transport.Conn, why step.ConnError) {
	l.shard.mu.Lock()
	delete(l.shard.conns, l.id)
	l.shard.mu.Unlock()
	l.event = step.Event{Kind: step.EventClosed, Conn: l.id, ConnError: why}
	l.shard.deliver(&l.event, nil)
}
