package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/sim/disk"
)

// talker dials node 1's disk, sends a number every millisecond, and dials anew
// when the connection breaks.
type talker struct {
	target block.NodeID
	disk   block.DiskID
	conn   step.Conn
	open   bool
	sent   uint64
	most   uint64
	closed []step.ConnError
	pool   block.Pool
}

func (m *talker) Step(now step.Time, ev *step.Event, out *step.Effects) {
	dial := func() {
		m.conn++
		m.open = false
		out.Dials = append(out.Dials, step.Dial{Conn: m.conn, Node: m.target, Hello: message.Hello{Version: message.Version, Disk: m.disk, Number: uint64(m.conn)}})
	}
	switch ev.Kind {
	case step.EventStart:
		dial()
		out.After(now, time.Millisecond, step.Tag{})
	case step.EventConnected:
		m.open = true
	case step.EventClosed:
		m.closed = append(m.closed, ev.ConnError)
		dial()
	case step.EventTimer:
		out.After(now, time.Millisecond, step.Tag{})
		if m.open && m.sent < m.most {
			m.sent++
			payload := m.pool.Get(64)
			payload.Bytes()[0] = byte(m.sent)
			out.Send(m.conn, message.Message{Kind: message.Append, Request: m.sent, Record: message.Record{Position: block.Position{Era: 1, Seq: block.Seq(m.sent)}}, Payload: payload})
		}
	default:
	}
}

// listener keeps what it is sent, by connection number.
type listener struct {
	t      *testing.T
	number map[step.Conn]uint64
	got    map[uint64][]uint64
	closed int
}

func (m *listener) Step(_ step.Time, ev *step.Event, _ *step.Effects) {
	switch ev.Kind {
	case step.EventAccepted:
		m.number[ev.Conn] = ev.Hello.Number
	case step.EventMessage:
		n := m.number[ev.Conn]
		m.got[n] = append(m.got[n], ev.Message.Request)
		if ev.Message.Payload.Bytes()[0] != byte(ev.Message.Request) {
			m.t.Errorf("message %d arrived with another payload", ev.Message.Request)
		}
		ev.Message.Payload.Release()
	case step.EventClosed:
		m.closed++
	default:
	}
}

type idle struct{}

func (idle) Step(step.Time, *step.Event, *step.Effects) {}

// wire is a world of two nodes: a talker on the first, a listener on the second.
func wire(t *testing.T, seed uint64, messages int) (*World, *talker, *listener) {
	t.Helper()
	p := NewPlan(seed, Quiet)
	p.Faults, p.TailOneIn, p.UnknownPPM, p.Wire = nil, 16, 0, false
	talk := &talker{most: uint64(messages), pool: &pool{}}
	listen := &listener{t: t, number: map[step.Conn]uint64{}, got: map[uint64][]uint64{}}
	w := newWorld(p, Options{}, makers{
		orchestrator: func(*body) node.Machine { return idle{} },
		disk: func(b *body, _ *drive, _ int) node.Machine {
			if b.index == 1 {
				return listen
			}
			return idle{}
		},
		coordinator: func(*body, *step.Control) node.Machine { return talk },
		format:      func(*World, *drive) {},
	})
	talk.target, talk.disk = w.bodies[1].id, w.bodies[1].drives[0].id
	for _, b := range w.bodies {
		b.up()
	}
	w.bodies[0].startCoordinator(&step.Control{Volume: w.volumes[0].id})
	return w, talk, listen
}

func rising(list []uint64) bool {
	for i := 1; i < len(list); i++ {
		if list[i] != list[i-1]+1 {
			return false
		}
	}
	return true
}

func TestConnectionDeliversInOrderDespiteTails(t *testing.T) {
	w, _, listen := wire(t, 1, 300)
	w.run(int64(2*time.Second), nil)
	if got := listen.got[1]; len(got) != 300 || !rising(got) {
		t.Fatalf("got %d of 300 messages: %v", len(got), got)
	}
}

func TestCutHoldsMessagesBackAndLosesNone(t *testing.T) {
	w, _, listen := wire(t, 2, 300)
	w.run(int64(100*time.Millisecond), nil)
	before := len(listen.got[1])
	w.cutFor(time.Second, []pair{{0, 1}})
	w.run(int64(900*time.Millisecond), nil)
	if now := len(listen.got[1]); now > before {
		t.Fatalf("%d messages passed a cut link", now-before)
	}
	w.run(int64(3*time.Second), nil)
	if got := listen.got[1]; len(got) != 300 || !rising(got) {
		t.Fatalf("after the cut: %v", got)
	}
}

func TestLongCutBreaksTheConnectionAndRedialsTimeOut(t *testing.T) {
	w, talk, _ := wire(t, 3, 5000)
	w.run(int64(100*time.Millisecond), nil)
	w.cutFor(w.plan.Keepalive+4*time.Second, []pair{{1, 0}})
	w.run(w.now+int64(w.plan.Keepalive+3*time.Second), nil)
	if len(talk.closed) < 2 || talk.closed[0] != step.ConnReset || talk.closed[1] != step.ConnTimeout {
		t.Fatalf("connection errors %v, want a reset by keepalive, then dials that time out", talk.closed)
	}
	w.run(w.now+int64(3*time.Second), nil)
	if !talk.open {
		t.Fatal("not connected again after the cut")
	}
}

func TestResetLosesOnlyTheTail(t *testing.T) {
	for seed := range uint64(50) {
		w, talk, listen := wire(t, seed, 200)
		w.run(int64(80*time.Millisecond), nil)
		w.network.reset(seed)
		w.run(int64(3*time.Second), nil)
		if len(talk.closed) != 1 {
			t.Fatalf("seed %d: closed %v", seed, talk.closed)
		}
		if first := listen.got[1]; !rising(first) || len(first) > 0 && first[0] != 1 {
			t.Fatalf("seed %d: the first connection delivered %v", seed, first)
		}
		if second := listen.got[2]; !rising(second) {
			t.Fatalf("seed %d: the second connection delivered %v", seed, second)
		}
	}
}

func TestKilledProcessRefusesDialsAndPowerlessHostIsSilent(t *testing.T) {
	w, talk, _ := wire(t, 4, 5000)
	w.run(int64(100*time.Millisecond), nil)
	w.bodies[1].kill()
	w.run(int64(200*time.Millisecond), nil)
	if len(talk.closed) < 2 || talk.closed[0] != step.ConnReset || talk.closed[1] != step.ConnRefused {
		t.Fatalf("after a kill: %v", talk.closed)
	}
	w.bodies[1].up()
	w.run(int64(400*time.Millisecond), nil)
	talk.closed = nil
	w.bodies[1].powerLoss(disk.LossDrawn)
	w.run(w.now+int64(w.plan.Keepalive)/2, nil)
	if len(talk.closed) != 0 {
		t.Fatalf("a host without power said %v", talk.closed)
	}
	w.run(w.now+int64(w.plan.Keepalive+2*time.Second), nil)
	if len(talk.closed) < 2 || talk.closed[0] != step.ConnReset || talk.closed[1] != step.ConnTimeout {
		t.Fatalf("after a power loss: %v", talk.closed)
	}
}

func TestChangedPayloadIsFoundOut(t *testing.T) {
	w, talk, _ := wire(t, 5, 1)
	var kept block.Buffer
	talk.pool = poolFunc(func(n int) block.Buffer { kept = block.Heap{}.Get(n); return kept })
	defer func() {
		v, _ := recover().(*Violation)
		if v == nil || !strings.Contains(v.Text, "changed after it was sent") {
			t.Fatalf("got %v", v)
		}
	}()
	for range 10_000 {
		w.one()
		if !kept.Empty() {
			kept.Bytes()[1] = 7
		}
	}
	t.Fatal("nobody noticed")
}

type poolFunc func(int) block.Buffer

func (f poolFunc) Get(n int) block.Buffer { return f(n) }
