package coordinator_test

import (
	"slices"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

func TestTakeoverRecordsEraAndIncarnations(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	if w.config.Coordinator == nil || w.config.Coordinator.Session != w.c.Session() {
		t.Fatal("the configuration does not name the session")
	}
	if len(w.config.History) != 1 || w.config.History[0].First != 1 {
		t.Fatalf("history %v, want one era from seq 1", w.config.History)
	}
	for i, m := range w.config.Members {
		if m.Incarnation != w.members[i].incarnation {
			t.Fatalf("member %d: incarnation %d recorded, want %d", i, m.Incarnation, w.members[i].incarnation)
		}
		if n := len(w.members[i].log); n != 1 || w.members[i].log[0].Op != message.OpNop {
			t.Fatalf("member %d was sent %d records, want the NOP that closes the tail", i, n)
		}
	}
}

func TestWriteIsAcknowledgedWhenAllHaveAccepted(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.members[1].noAck = true
	w.write(1, 5)
	w.expectNoAnswer(1)
	w.members[1].noAck = false
	w.write(2, 6) // its cumulative ACK covers both
	w.expectAnswer(1, step.RequestOK)
	w.expectAnswer(2, step.RequestOK)
}

func TestOverlappingWriteWaitsForTheFirst(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.members[1].noAck = true
	w.write(1, 5)
	before := len(w.members[0].log)
	w.write(2, 5)
	w.request(3, step.ReadRequest, 5)
	if len(w.members[0].log) != before {
		t.Fatal("the second write was sent while the first held its range")
	}
	w.members[1].noAck = false
	w.write(4, 9)
	for id := uint64(1); id <= 4; id++ {
		w.expectAnswer(id, step.RequestOK)
	}
}

func TestFlushWaitsForEveryMembersDisk(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.write(1, 5)
	w.members[1].noAck = true
	w.request(2, step.FlushRequest, 0)
	w.expectNoAnswer(2)
	w.members[1].noAck = false
	w.write(3, 6)
	w.expectAnswer(2, step.RequestOK)
}

func TestSyncGoesOutBehindTheWriteOnceFlushesCanBeForetold(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	id := uint64(0)
	writes := func(n int) {
		for range n {
			id++
			w.write(id, block.Block(id))
		}
	}
	flush := func() {
		id++
		w.request(id, step.FlushRequest, 0)
		w.expectAnswer(id, step.RequestOK)
	}
	expectDurable := func(want bool) {
		t.Helper()
		for i, m := range w.members {
			if got := m.durable == m.last.Seq; got != want {
				t.Fatalf("member %d: all %d records durable: %v, want %v", i, m.last.Seq, got, want)
			}
		}
	}
	for range 3 {
		writes(2)
		expectDurable(false)
		flush()
	}
	writes(1)
	expectDurable(false)
	writes(1)
	expectDurable(true)
	writes(1) // the guess was wrong
	expectDurable(false)
	flush()
	writes(2)
	expectDurable(false)
	flush()
}

func TestSyncGoesOutBehindAForcedWrite(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.members[1].noAck = true
	payload := content()
	w.step(step.Event{Kind: step.EventRequest, Request: step.Request{
		ID: 1, Kind: step.WriteRequest, FUA: true, Range: block.Range{First: 5, Count: 1}, Payload: payload,
	}})
	w.expectNoAnswer(1)
	if m := w.members[1]; m.durable != m.last.Seq {
		t.Fatal("the sync waited for the write's acknowledgement")
	}
}

func TestSilentMemberIsEvictedAndWritesGoOn(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.members[1].mute = true
	w.write(1, 5)
	w.expectNoAnswer(1)
	w.pass(2 * time.Second)
	w.expectAnswer(1, step.RequestOK)
	w.expectState(1, volume.Out)
}

func TestLastValidMemberIsNeverEvicted(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.members[0].mute, w.members[1].mute = true, true
	w.write(1, 5)
	w.pass(time.Minute)
	w.expectNoAnswer(1)
	w.expectState(0, volume.InSync)
	w.expectState(1, volume.InSync)
}

func TestWriteRefusedByAMemberUnderRepairFailsAndTheRestGoesOn(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	m := w.members[0]
	had := m.last
	m.noAck = true
	for id := range uint64(3) {
		w.write(1+id, block.Block(id))
	}
	m.noAck, m.noRoom = false, had.Seq+2
	w.restart(m, had)
	w.pass(5 * time.Second)
	w.expectAnswer(1, step.RequestOK)
	w.expectAnswer(2, step.RequestNoSpace)
	w.expectAnswer(3, step.RequestOK)
}

// Two records have one position: a member that was put out kept the write that all
// others refused. Whoever brings it back must not go by its last record alone.
func TestMemberPutOutWithAWriteThatBecameANopIsFilledAnew(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	full, out := w.members[0], w.members[1]
	full.noRoom = full.last.Seq + 1
	out.noAck = true
	w.write(1, 5)
	w.expectNoAnswer(1) // the silent member may have accepted it
	w.pass(2 * time.Second)
	w.expectState(1, volume.Out)
	w.expectAnswer(1, step.RequestNoSpace)
	full.noRoom, out.noAck = 0, false
	w.write(2, 6)
	w.expectAnswer(2, step.RequestOK)
	kept := out.log[len(out.log)-1]
	nop := message.Record{Position: kept.Position, Op: message.OpNop}
	if kept.Op != message.OpWrite || !slices.Contains(full.log, nop) {
		t.Fatalf("it has %+v, the other %+v: this shows nothing", kept, full.log)
	}
	w.pass(40 * time.Second)
	if out.resyncs == 0 {
		t.Fatal("it was not filled anew")
	}
	if len(out.log) > 0 && out.log[0].Position.Seq <= kept.Position.Seq+1 {
		t.Errorf("it got %+v, before it was emptied", out.log[0])
	}
}

func TestMemberWhoseDiskIsFullIsNotFilledAgainAtOnce(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	full := w.members[1]
	full.mute = true
	w.write(1, 5)
	w.pass(2 * time.Second)
	w.expectState(1, volume.Out)
	full.mute, full.full = false, true
	w.restart(full, full.last)
	w.pass(70 * time.Second)
	w.expectState(1, volume.Out)
	if full.resyncs < 2 || full.resyncs > 3 {
		t.Fatalf("it was emptied to be filled %d times in 70 s, want one time every half minute", full.resyncs)
	}
}

func TestReadIsHeldBackWhenAGrantRanOut(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	w.now = w.now.Add(time.Minute) // no tick came: no grant was renewed
	w.request(1, step.ReadRequest, 3)
	w.expectNoAnswer(1)
	w.pass(time.Second)
	w.expectAnswer(1, step.RequestOK)
}

func TestUnknownTransactionIsReissuedAndCountsOnce(t *testing.T) {
	w := newWorld(t, 2)
	w.unknown = 1
	w.step(step.Event{Kind: step.EventStart})
	if w.c.Serving() {
		t.Fatal("serving although the claim's outcome is unknown")
	}
	w.pass(time.Second)
	if !w.c.Serving() {
		t.Fatal("not serving although the claim was applied")
	}
}

func TestTakeoverGoesOnWithoutSilentMemberAfterItsGrant(t *testing.T) {
	w := newWorld(t, 2)
	w.members[1].down = true
	w.step(step.Event{Kind: step.EventStart})
	if w.c.Serving() {
		t.Fatal("serving at once although a member is silent")
	}
	w.pass(3 * time.Second)
	if !w.c.Serving() {
		t.Fatal("not serving although the other member certainly has everything")
	}
	w.expectState(1, volume.Out)
}

func TestTakeoverWaitsForAllWhenNoneIsCertain(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.members[0].incarnation, w.members[0].boot = 500, block.BootID{50} // lost power
	w.members[0].full = true                                            // it is not filled again
	w.members[1].down = true
	w.c = w.newCoordinator(2)
	w.timers, w.conns = nil, map[step.Conn]*fakeMember{}
	w.step(step.Event{Kind: step.EventStart})
	w.pass(time.Minute)
	if w.c.Serving() {
		t.Fatal("serving from a copy that may lack acknowledged writes")
	}
	w.members[1].down = false
	w.pass(time.Minute)
	if !w.c.Serving() {
		t.Fatal("not serving although the certain copy is back")
	}
	w.expectState(0, volume.Out)
}

// A disk that failed may still hold the newest record; one that merely lost
// power may not. Neither is certain, so both count.
func TestUncertainTakeoverEndsAtTheNewestRecordOfAll(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.write(1, 5)
	w.members[0].incarnation, w.members[0].boot = 500, block.BootID{50}
	w.members[0].last.Seq-- // lost power and the newest record
	w.members[1].incarnation, w.members[1].tainted = 501, true
	w.c = w.newCoordinator(2)
	w.timers, w.conns = nil, map[step.Conn]*fakeMember{}
	w.step(step.Event{Kind: step.EventStart})
	if got, want := w.config.History[len(w.config.History)-1].First, block.Seq(3); got != want {
		t.Fatalf("the new era begins at %d, want %d: behind the newest record", got, want)
	}
}

func TestTakeoverTrustsNoCopyIfEveryDiskFailed(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	for _, m := range w.members {
		m.incarnation, m.tainted = m.incarnation+500, true
	}
	w.c = w.newCoordinator(2)
	w.timers, w.conns = nil, map[step.Conn]*fakeMember{}
	w.step(step.Event{Kind: step.EventStart})
	w.pass(time.Minute)
	if w.c.Serving() {
		t.Fatal("serving although every copy may have lost acknowledged writes unnoticed")
	}
}

// Every disk failed after the volume was detached in order. What each holds goes up to
// where that left the stream, and was made durable again since: nothing is missing.
func TestTakeoverAfterADetachTrustsCopiesWhoseDisksFailedSince(t *testing.T) {
	for _, lost := range []bool{false, true} {
		w := newWorld(t, 2)
		w.start()
		w.write(1, 5)
		w.step(step.Event{Kind: step.EventControl, Control: step.Control{Kind: step.StopCoordinator}})
		w.pass(time.Second)
		if w.config.CleanAt == nil {
			t.Fatal("it was not detached in order")
		}
		for _, m := range w.members {
			m.incarnation, m.tainted = m.incarnation+500, true
			if lost { // what it holds is not durable
				m.durable--
			}
		}
		w.c = w.newCoordinator(2)
		w.timers, w.conns = nil, map[step.Conn]*fakeMember{}
		w.step(step.Event{Kind: step.EventStart})
		w.pass(time.Second)
		if w.c.Serving() == lost {
			t.Errorf("serving: %v, though what was detached is durable: %v", w.c.Serving(), !lost)
		}
	}
}

func TestReplacedSessionFailsWhatItHolds(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.members[1].noAck = true
	w.write(1, 5)
	w.write(2, 5)
	other := w.config.Clone()
	other.Epoch++
	other.Coordinator.Session++
	w.step(step.Event{Kind: step.EventControl, Control: step.Control{
		Kind: step.ConfigChanged, Volume: other.Volume, Config: other, Revision: int64(w.revision) + 1,
	}})
	w.expectAnswer(1, step.RequestAmbiguous)
	w.expectAnswer(2, step.RequestRefused)
	if last := w.controls[len(w.controls)-1]; last.Kind != step.VolumeFenced {
		t.Fatalf("last control is %d, want VolumeFenced", last.Kind)
	}
}

func TestDetachMakesAllDurableAndSaysSo(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	w.write(1, 5)
	w.step(step.Event{Kind: step.EventControl, Control: step.Control{Kind: step.StopCoordinator, Volume: w.config.Volume}})
	if w.config.CleanAt == nil || w.config.Coordinator != nil {
		t.Fatal("the configuration does not say that the volume was detached in order")
	}
	for i, m := range w.members {
		if *w.config.CleanAt != m.last || m.durable != m.last.Seq {
			t.Fatalf("member %d: last %v durable %d, detached at %v", i, m.last, m.durable, *w.config.CleanAt)
		}
	}
}

func TestWriteOfZeroesIsAZeroOnEveryMember(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	for _, m := range w.members {
		m.noAck = true
	}
	freed := false
	zeroes := block.NewSlab(make([]byte, 3*blockSize), func(*block.Slab) { freed = true })
	w.step(step.Event{Kind: step.EventRequest, Request: step.Request{
		ID: 1, Kind: step.WriteRequest, FUA: true, Range: block.Range{First: 5, Count: 3}, Payload: zeroes.Buffer(3 * blockSize),
	}})
	if !freed {
		t.Error("its payload was kept")
	}
	for i, m := range w.members {
		got := m.log[len(m.log)-1]
		if want := (message.Record{Position: m.last, Op: message.OpZero, FUA: true, Range: block.Range{First: 5, Count: 3}}); got != want {
			t.Errorf("member %d got %+v, want %+v", i, got, want)
		}
	}
	w.request(2, step.ReadRequest, 6)
	w.expectNoAnswer(1)
	w.expectNoAnswer(2) // it waits for the range
}

func TestWriteOfTwoCopiesDoesNotAllocate(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	payload := content()
	var out step.Effects
	request := step.Event{Kind: step.EventRequest, Request: step.Request{
		ID: 1, Kind: step.WriteRequest, Range: block.Range{First: 1, Count: 1},
	}}
	ack := step.Event{Kind: step.EventMessage, Message: message.Message{Kind: message.Ack}}
	conns := []step.Conn{1, 2}
	seq := w.members[0].last.Seq
	write := func() {
		request.Request.Payload = payload.Retain()
		w.c.Step(w.now, &request, &out)
		seq++
		for _, conn := range conns {
			ack.Conn, ack.Message.Accepted = conn, seq
			w.c.Step(w.now, &ack, &out)
		}
		if len(out.Completions) != 1 {
			t.Fatal("the write was not acknowledged")
		}
		for _, s := range out.Sends {
			s.Message.Payload.Release()
		}
		out.Reset()
	}
	write()
	if n := testing.AllocsPerRun(100, write); n != 0 {
		t.Fatalf("a write allocates %v times, want none", n)
	}
}

// A member that is being filled was sent a write that all others refused, and has not
// answered yet: it holds another record than they.
func TestMemberBeingFilledThatWasSentWhatBecameANopIsFilledAnew(t *testing.T) {
	w := newWorld(t, 2)
	w.start()
	full, target := w.members[0], w.members[1]
	target.mute = true
	w.write(1, 5)
	w.pass(2 * time.Second)
	w.expectState(1, volume.Out)
	target.mute, target.noEnd = false, true
	w.restart(target, target.last)
	w.pass(40 * time.Second)
	w.expectState(1, volume.Syncing)
	full.noRoom, target.noAck = full.last.Seq+1, true
	begun := target.resyncs
	w.write(2, 6)
	w.expectAnswer(2, step.RequestNoSpace)
	if kept := target.log[len(target.log)-1]; kept.Op != message.OpWrite || begun == 0 {
		t.Fatalf("it has %+v, after %d resyncs: this shows nothing", kept, begun)
	}
	full.noRoom, target.noAck, target.noEnd = 0, false, false
	w.pass(time.Second)
	w.expectState(1, volume.Out)
	w.pass(10 * time.Second)
	if target.resyncs == begun {
		t.Fatal("it was not filled anew")
	}
}

// What was acknowledged and then lost by the last copy is given to it until it has
// room, and is never taken back.
func TestAcknowledgedWriteThatIsRefusedWhenGivenAgainIsNeverTakenBack(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	m := w.members[0]
	had := m.last
	w.write(1, 5)
	w.expectAnswer(1, step.RequestOK)
	m.noRoom, m.durable, m.log = had.Seq+1, had.Seq, nil
	w.restart(m, had)
	w.pass(20 * time.Second)
	if m.last != had {
		t.Fatalf("its last record is %v, want %v, which it came back with", m.last, had)
	}
	w.expectState(0, volume.InSync)
	w.write(2, 6)
	w.expectNoAnswer(2)
	m.noRoom = 0
	w.pass(10 * time.Second)
	w.expectAnswer(2, step.RequestOK)
	if len(m.log) == 0 || m.log[0].Op != message.OpWrite || m.log[0].Position.Seq != had.Seq+1 {
		t.Fatalf("it was given %+v, want the first write first", m.log)
	}
}
