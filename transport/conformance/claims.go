package conformance

import (
	"bytes"
	"errors"
	"reflect"
	"sync"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
)

// pair starts nodes 1 and 2 and connects the first to the second.
func pair(t *testing.T, n Network, prepare func(c transport.Conn, r *recorder) error) (dialled *recorder, accepted *acceptor) {
	t.Helper()
	accepted = newAcceptor(prepare)
	n.Start(t, node(2), accepted)
	from := n.Start(t, node(1), newAcceptor(nil))
	dialled = newRecorder()
	from.Dial(t.Context(), node(2), hello(node(1)), dialled)
	if dialled.waitConnected() == nil {
		t.Fatalf("dial ended with %d, want a connection", dialled.waitClosed())
	}
	return dialled, accepted
}

func nothing() {}

func dialReachesTheAcceptor(t *testing.T, n Network) {
	dialled, accepted := pair(t, n, nil)
	accepted.peer()
	if want := hello(node(1)); accepted.hellos[0] != want {
		t.Errorf("the acceptor got %+v, want %+v", accepted.hellos[0], want)
	}
	dialled.check(t)
}

func messagesArrive(t *testing.T, n Network) {
	const count = 300
	dialled, accepted := pair(t, n, nil)
	for seq := block.Seq(1); seq <= count; seq++ {
		m := write(seq, content(seq, nothing))
		dialled.conn.Send(&m)
		if seq%7 == 0 || seq == count {
			dialled.conn.Flush()
		}
	}
	peer := accepted.peer()
	peer.waitMessages(count)
	for i := range peer.messages {
		data := content(block.Seq(i+1), nothing)
		want := write(block.Seq(i+1), data)
		want.Payload = block.Buffer{}
		if !reflect.DeepEqual(peer.messages[i], want) || !bytes.Equal(peer.data[i], data.Bytes()) {
			t.Fatalf("message %d: got %+v with %d bytes, want %+v with %d", i, peer.messages[i], len(peer.data[i]), want, data.Len())
		}
	}
	if len(peer.messages) != count {
		t.Errorf("%d messages arrived, want %d", len(peer.messages), count)
	}
	peer.check(t)
}

func answersTravelBack(t *testing.T, n Network) {
	const count = 200
	dialled, accepted := pair(t, n, func(c transport.Conn, r *recorder) error {
		r.onMessage = func(c transport.Conn, m *message.Message) {
			c.Send(&message.Message{Kind: message.Ack, Accepted: m.Seq})
		}
		r.onBatch = transport.Conn.Flush
		return nil
	})
	for seq := block.Seq(1); seq <= count; seq++ {
		m := write(seq, content(seq, nothing))
		dialled.conn.Send(&m)
		dialled.conn.Flush()
		if seq%20 == 1 { // now and then in lockstep
			dialled.waitMessages(int(seq))
		}
	}
	dialled.waitMessages(count)
	for i, m := range dialled.messages {
		if m.Kind != message.Ack || m.Accepted != block.Seq(i+1) {
			t.Fatalf("answer %d is %+v", i, m)
		}
	}
	dialled.check(t)
	accepted.peer().check(t)
}

func sendersKeepTheirOrder(t *testing.T, n Network) {
	const senders, each = 8, 200
	dialled, accepted := pair(t, n, nil)
	var running sync.WaitGroup
	for s := range uint64(senders) {
		running.Go(func() {
			for seq := block.Seq(1); seq <= each; seq++ {
				dialled.conn.Send(&message.Message{Kind: message.Sync, Request: s, Seq: seq})
				dialled.conn.Flush()
			}
		})
	}
	running.Wait()
	peer := accepted.peer()
	peer.waitMessages(senders * each)
	var last [senders]block.Seq
	for _, m := range peer.messages {
		if m.Seq != last[m.Request]+1 {
			t.Fatalf("sender %d: message %d follows %d", m.Request, m.Seq, last[m.Request])
		}
		last[m.Request] = m.Seq
	}
}

func oneFlushWritesAll(t *testing.T, n Network) {
	dialled, accepted := pair(t, n, nil)
	for seq := block.Seq(1); seq <= 3; seq++ {
		dialled.conn.Send(&message.Message{Kind: message.Sync, Seq: seq})
	}
	dialled.conn.Flush()
	peer := accepted.peer()
	peer.waitMessages(3)
	if len(peer.messages) != 3 {
		t.Errorf("%d messages arrived, want 3", len(peer.messages))
	}
}

func sendBeforeConnected(t *testing.T, n Network) {
	accepted := newAcceptor(nil)
	n.Start(t, node(2), accepted)
	from := n.Start(t, node(1), newAcceptor(nil))
	r := newRecorder()
	c := from.Dial(t.Context(), node(2), hello(node(1)), r)
	c.Send(&message.Message{Kind: message.Prepare, Era: 9})
	c.Flush()
	peer := accepted.peer()
	peer.waitMessages(1)
	if len(peer.messages) != 1 || peer.messages[0].Era != 9 {
		t.Errorf("got %+v, want the message sent before the connection was open", peer.messages)
	}
}

func sendWithinAccept(t *testing.T, n Network) {
	dialled, _ := pair(t, n, func(c transport.Conn, _ *recorder) error {
		c.Send(&message.Message{Kind: message.Fenced, Era: 9})
		c.Flush()
		return nil
	})
	dialled.waitMessages(1)
	if len(dialled.messages) != 1 || dialled.messages[0].Era != 9 {
		t.Errorf("got %+v, want the message sent within Accept", dialled.messages)
	}
	dialled.check(t)
}

var errUnknownReplica = errors.New("no such replica here")

func deniedDial(t *testing.T, n Network) {
	n.Start(t, node(2), newAcceptor(func(transport.Conn, *recorder) error { return errUnknownReplica }))
	from := n.Start(t, node(1), newAcceptor(nil))
	expectDial(t, from, hello(node(1)), step.ConnDenied)
}

func otherVersion(t *testing.T, n Network) {
	accepted := newAcceptor(nil)
	n.Start(t, node(2), accepted)
	from := n.Start(t, node(1), newAcceptor(nil))
	h := hello(node(1))
	h.Version++
	expectDial(t, from, h, step.ConnDenied)
	if len(accepted.hellos) > 0 {
		t.Error("the acceptor was asked about another version")
	}
}

func dialToAStoppedNode(t *testing.T, n Network) {
	n.Start(t, node(2), newAcceptor(nil))
	n.Stop(t, node(2))
	from := n.Start(t, node(1), newAcceptor(nil))
	expectDial(t, from, hello(node(1)), step.ConnRefused)
}

func expectDial(t *testing.T, from transport.Transport, h message.Hello, want step.ConnError) {
	t.Helper()
	r := newRecorder()
	from.Dial(t.Context(), node(2), h, r)
	if why := r.waitClosed(); why != want || r.connected > 0 {
		t.Errorf("dial ended with %d after %d calls of Connected, want %d and none", why, r.connected, want)
	}
	r.check(t)
}

func closeReachesBothSides(t *testing.T, n Network) {
	dialled, accepted := pair(t, n, nil)
	dialled.conn.Close()
	dialled.conn.Close()
	if why := dialled.waitClosed(); why != step.ConnClosed {
		t.Errorf("own side ended with %d, want ConnClosed", why)
	}
	peer := accepted.peer()
	if why := peer.waitClosed(); why != step.ConnClosed && why != step.ConnReset {
		t.Errorf("the other side ended with %d, want ConnClosed or ConnReset", why)
	}
	dialled.check(t)
	peer.check(t)
}

func closeDuringTheDial(t *testing.T, n Network) {
	n.Start(t, node(2), newAcceptor(nil))
	from := n.Start(t, node(1), newAcceptor(nil))
	for range 20 {
		r := newRecorder()
		from.Dial(t.Context(), node(2), hello(node(1)), r).Close()
		if why := r.waitClosed(); why != step.ConnClosed {
			t.Errorf("ended with %d, want ConnClosed", why)
		}
		r.check(t)
	}
}

func closeWithinAHandler(t *testing.T, n Network) {
	dialled, accepted := pair(t, n, func(_ transport.Conn, r *recorder) error {
		r.onMessage = func(c transport.Conn, _ *message.Message) { c.Close() }
		return nil
	})
	dialled.conn.Send(&message.Message{Kind: message.Sync})
	dialled.conn.Flush()
	peer := accepted.peer()
	if why := peer.waitClosed(); why != step.ConnClosed {
		t.Errorf("own side ended with %d, want ConnClosed", why)
	}
	dialled.waitClosed()
	peer.check(t)
}

func endOfANode(t *testing.T, n Network) {
	dialled, accepted := pair(t, n, nil)
	peer := accepted.peer()
	n.Stop(t, node(2))
	if len(peer.closed) != 1 {
		t.Error("the stopped node's handler has not heard of the end")
	}
	if why := dialled.waitClosed(); why != step.ConnClosed && why != step.ConnReset {
		t.Errorf("the peer's side ended with %d, want ConnClosed or ConnReset", why)
	}
	dialled.check(t)
}

func payloadsAreReleased(t *testing.T, n Network) {
	const count = 500
	var kept sync.WaitGroup
	kept.Add(count)
	dialled, accepted := pair(t, n, nil)
	for seq := block.Seq(1); seq <= count; seq++ {
		m := write(seq, content(seq, kept.Done))
		dialled.conn.Send(&m)
		switch {
		case seq == count/2: // the second half meets a connection that is ending or has ended
			accepted.peer().conn.Close()
		case seq%9 == 0:
			dialled.conn.Flush()
		}
	}
	dialled.waitClosed()
	kept.Wait() // a payload released twice panics, one kept for ever ends in the test's timeout
}
