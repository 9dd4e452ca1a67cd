package nbd_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/device/nbd/wire"
)

// clock is the real one until it is turned back: every deadline is over then.
type clock struct{ back atomic.Bool }

func (c *clock) now() time.Time {
	if c.back.Load() {
		return time.Unix(1, 0)
	}
	return later()
}

// reads sends reads of a mebibyte, and takes no reply.
func (c client) reads(count int) {
	c.t.Helper()
	var all []byte
	for i := range count {
		all = wire.AppendRequest(all, wire.Request{Command: wire.CmdRead, Cookie: uint64(i), Length: mib})
	}
	c.write(all)
}

func TestClientThatReadsNoRepliesHoldsUpNobody(t *testing.T) {
	s := serve(t)
	v := memory.New(4 * mib)
	s.export(t, "db", v, false)
	deaf, other := open(t, s.socket, "db"), open(t, s.socket, "db")
	v.Hang()
	const most = 32 // of a mebibyte each are under way
	deaf.reads(2 * most)
	for range most {
		<-v.Hung
	}
	if n := v.Answer(nil); n != most { // which returns, though the socket cannot take that much
		t.Errorf("%d requests were under way, want %d", n, most)
	}
	if errno, _ := other.do(wire.CmdRead, 0, 0, block.Size, nil); errno != wire.OK {
		t.Errorf("another client: %d", errno)
	}
	for i := range uint64(2 * most) { // late, but it does read
		if r, data := deaf.reply(); r.Cookie != i || r.Errno != wire.OK || len(data) != mib {
			t.Fatalf("reply %d: %+v with %d bytes", i, r, len(data))
		}
	}
}

func TestClientThatTakesNoRepliesInTimeIsCutOff(t *testing.T) {
	at := &clock{}
	s := serveAt(t, at.now)
	v := memory.New(4 * mib)
	e := s.export(t, "db", v, false)
	deaf := open(t, s.socket, "db")
	v.Hang()
	deaf.reads(8)
	for range 8 {
		<-v.Hung
	}
	at.back.Store(true)
	v.Answer(nil)
	s.log.await("took no byte of its replies")
	must(t, e.Close(true))
}

func TestClientThatHagglesForeverIsTurnedAway(t *testing.T) {
	at := &clock{}
	at.back.Store(true)
	s := serveAt(t, at.now)
	dial(t, "unix", s.socket)
	s.log.await("i/o timeout")
}

func TestConnectionsAreBounded(t *testing.T) {
	s := serve(t)
	v := memory.New(mib)
	s.export(t, "db", v, false)
	const most = 64
	var all []client
	for range most {
		all = append(all, open(t, s.socket, "db"))
	}
	dial(t, "unix", s.socket).ended()
	for _, c := range all {
		if errno, _ := c.do(wire.CmdRead, 0, 0, block.Size, nil); errno != wire.OK {
			t.Fatalf("a client that was there: %d", errno)
		}
	}
}

func TestEndOfTheServerEndsItsClients(t *testing.T) {
	s := serve(t)
	v := memory.New(mib)
	s.export(t, "db", v, false)
	second := s.socket + "2"
	t.Run("served", func(t *testing.T) {
		listen(t, s.Server, "unix", second, nil)
		connect(t, second) // and goes on haggling
		c := open(t, second, "db")
		v.Hang()
		c.request(wire.Request{Command: wire.CmdRead, Length: block.Size}, nil)
		<-v.Hung
	}) // returns when the second listener is served no more
	v.Answer(nil)
	if errno, _ := open(t, s.socket, "db").do(wire.CmdRead, 0, 0, block.Size, nil); errno != wire.OK {
		t.Errorf("a client of the other listener: %d", errno)
	}
}
