package nbd_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/device/nbd/wire"
)

func TestExportsAreListedByName(t *testing.T) {
	s := serve(t)
	v := memory.New(mib)
	s.export(t, "shop", v, false)
	s.export(t, "db", v, false)
	c := connect(t, s.socket)
	want := []optionReply{{wire.RepServer, text("db") + "a volume in memory"}, {wire.RepServer, text("shop") + "a volume in memory"}, {wire.RepAck, ""}}
	if got := c.ask(wire.OptList, ""); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestExportIsDescribed(t *testing.T) {
	s := serve(t)
	s.export(t, "db", memory.New(4*mib), false)
	s.export(t, "db@monday", memory.New(4*mib), true)
	c := connect(t, s.socket)
	describe := func(flags uint16) []optionReply {
		size := binary.BigEndian.AppendUint64([]byte{0, wire.InfoExport}, 4*mib)
		return []optionReply{
			{wire.RepInfo, string(binary.BigEndian.AppendUint16(size, flags))},
			{wire.RepInfo, "\x00\x03\x00\x00\x10\x00\x00\x01\x00\x00\x02\x00\x00\x00"}, // 4 KiB, 64 KiB, 32 MiB
			{wire.RepAck, ""},
		}
	}
	const writable = uint16(wire.HasFlags | wire.CanFlush | wire.CanFUA | wire.CanTrim | wire.CanZero | wire.CanFastZero | wire.CanMultiConn)
	if got, want := c.ask(wire.OptInfo, info("db")), describe(writable); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := c.verdict(wire.OptStructuredReply, ""); got != wire.RepAck {
		t.Errorf("structured replies: %#x", got)
	}
	snapshot := uint16(wire.HasFlags | wire.CanFlush | wire.CanDF | wire.CanMultiConn | wire.ReadOnly)
	if got, want := c.ask(wire.OptInfo, info("db@monday")), describe(snapshot); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	got := c.ask(wire.OptGo, info("db", wire.InfoName, wire.InfoDescription, wire.InfoBlockSize))
	if !slices.Contains(got, optionReply{wire.RepInfo, "\x00\x01db"}) || !slices.Contains(got, optionReply{wire.RepInfo, "\x00\x02a volume in memory"}) {
		t.Errorf("name and description were asked for: %v", got)
	}
}

func TestOptionsThatCannotBeFollowedAreRefused(t *testing.T) {
	s := serve(t)
	s.export(t, "db", memory.New(mib), false)
	c := connect(t, s.socket)
	for _, o := range []struct {
		what string
		kind wire.OptionKind
		body string
		want wire.OptionReply
	}{
		{"meta without structured replies", wire.OptSetMeta, meta("db", wire.BaseAllocation), wire.RepErrInvalid},
		{"unknown export", wire.OptGo, info("dbx"), wire.RepErrUnknown},
		{"unknown export", wire.OptInfo, info(""), wire.RepErrUnknown},
		{"list with a body", wire.OptList, "x", wire.RepErrInvalid},
		{"short info", wire.OptInfo, "\x00", wire.RepErrInvalid},
		{"TLS on a local socket", wire.OptStartTLS, "", wire.RepErrUnsupported},
		{"extended headers", wire.OptExtendedHeaders, "", wire.RepErrUnsupported},
		{"what nobody knows", 4711, "whatever", wire.RepErrUnsupported},
		{"structured replies with a body", wire.OptStructuredReply, "x", wire.RepErrInvalid},
		{"structured replies", wire.OptStructuredReply, "", wire.RepAck},
		{"meta of an unknown export", wire.OptSetMeta, meta("dbx"), wire.RepErrUnknown},
		{"many queries", wire.OptListMeta, text("db") + "\xff\xff\xff\xff", wire.RepErrInvalid},
	} {
		if got := c.verdict(o.kind, o.body); got != o.want {
			t.Errorf("%s: %#x, want %#x", o.what, got, o.want)
		}
	}
}

func TestAllocationIsTheOnlyMetadataContext(t *testing.T) {
	s := serve(t)
	s.export(t, "db", memory.New(mib), false)
	c := connect(t, s.socket)
	c.ask(wire.OptStructuredReply, "")
	for _, o := range []struct {
		kind  wire.OptionKind
		query []string
		found bool
	}{
		{wire.OptListMeta, nil, true},
		{wire.OptListMeta, []string{"base:"}, true},
		{wire.OptListMeta, []string{"qemu:"}, false},
		{wire.OptSetMeta, []string{"base:"}, false},
		{wire.OptSetMeta, nil, false},
		{wire.OptSetMeta, []string{"qemu:dirty", wire.BaseAllocation}, true},
	} {
		got := c.ask(o.kind, meta("db", o.query...))
		if found := slices.Contains(got, optionReply{wire.RepMetaContext, "\x00\x00\x00\x01" + wire.BaseAllocation}); found != o.found {
			t.Errorf("%d %q: %v", o.kind, o.query, got)
		}
	}
}

func TestOldClientsChooseByNameAlone(t *testing.T) {
	s := serve(t)
	v := memory.New(mib)
	s.export(t, "db", v, false)
	c := connect(t, s.socket)
	c.say(wire.OptExportName, "db")
	if size := binary.BigEndian.Uint64(c.read(10)); size != mib {
		t.Errorf("size %d", size)
	}
	want := pattern(block.Size, 1)
	if errno, _ := c.do(wire.CmdWrite, 0, 0, block.Size, want); errno != wire.OK {
		t.Errorf("write: %d", errno)
	}
	errno, _ := c.do(wire.CmdRead, 0, 0, block.Size, nil) // a simple reply does not say how much follows
	if got := c.read(block.Size); errno != wire.OK || !bytes.Equal(got, want) {
		t.Errorf("read: %d, and other bytes than were written", errno)
	}
	c = connect(t, s.socket)
	c.say(wire.OptExportName, "nothing")
	c.ended()
}

func TestWhatIsWrittenIsReadUntilItIsZeroed(t *testing.T) {
	s := serve(t)
	v := memory.New(4 * mib)
	s.export(t, "db", v, false)
	c := open(t, s.socket, "db")
	const length = 3 * mib // larger than a slab
	want := pattern(length, 9)
	for _, step := range []struct {
		what    string
		command wire.Command
		flags   wire.CommandFlags
		payload []byte
	}{
		{"write", wire.CmdWrite, wire.FlagFUA, want},
		{"flush", wire.CmdFlush, 0, nil},
		{"read", wire.CmdRead, wire.FlagDF, nil},
		{"trim", wire.CmdTrim, wire.FlagFUA, nil},
		{"read", wire.CmdRead, 0, nil},
		{"write", wire.CmdWrite, 0, want},
		{"zeroes", wire.CmdWriteZeroes, wire.FlagNoHole | wire.FlagFastZero, nil},
		{"read", wire.CmdRead, 0, nil},
	} {
		offset, size := uint64(block.Size), uint32(length)
		if step.command == wire.CmdFlush {
			offset, size = 0, 0
		}
		errno, got := c.do(step.command, step.flags, offset, size, step.payload)
		if errno != wire.OK {
			t.Errorf("%s: %d", step.what, errno)
		}
		if step.what == "read" && !bytes.Equal(got, want) {
			t.Error("other bytes are read than there should be")
		}
		if step.command == wire.CmdTrim || step.command == wire.CmdWriteZeroes {
			want = make([]byte, length)
		} else if step.what == "read" {
			want = pattern(length, 9)
		}
	}
	if v.Flushes.Load() != 1 || v.Zeroes.Load() != 2 {
		t.Errorf("%d flushes and %d zeroes arrived", v.Flushes.Load(), v.Zeroes.Load())
	}
}

func TestRequestsThatCannotBeAreRefusedAndTheNextIsServed(t *testing.T) {
	s := serve(t)
	v := memory.New(mib)
	s.export(t, "db", v, false)
	s.export(t, "db@monday", v, true)
	c, snapshot := open(t, s.socket, "db"), open(t, s.socket, "db@monday")
	for _, r := range []struct {
		what    string
		on      client
		command wire.Command
		flags   wire.CommandFlags
		offset  uint64
		length  uint32
		want    wire.Errno
	}{
		{"read of less than a block", c, wire.CmdRead, 0, 0, 512, wire.EINVAL},
		{"read beside a block", c, wire.CmdRead, 0, 512, block.Size, wire.EINVAL},
		{"read of nothing", c, wire.CmdRead, 0, 0, 0, wire.EINVAL},
		{"read beyond the end", c, wire.CmdRead, 0, mib - block.Size, 2 * block.Size, wire.EINVAL},
		{"read far beyond the end", c, wire.CmdRead, 0, 1<<64 - block.Size, 2 * block.Size, wire.EINVAL},
		{"read of too much", c, wire.CmdRead, 0, 0, 1 << 31, wire.EINVAL},
		{"write beside a block", c, wire.CmdWrite, 0, 1, block.Size, wire.EINVAL},
		{"write beyond the end", c, wire.CmdWrite, 0, mib, block.Size, wire.ENOSPC},
		{"trim beyond the end", c, wire.CmdTrim, 0, mib, block.Size, wire.ENOSPC},
		{"fast zero of less than a block", c, wire.CmdWriteZeroes, wire.FlagFastZero, 0, 1, wire.EINVAL},
		{"write with a flag of others", c, wire.CmdWrite, wire.FlagReqOne, 0, block.Size, wire.EINVAL},
		{"cache", c, wire.CmdCache, 0, 0, block.Size, wire.EINVAL},
		{"what nobody knows", c, 77, 0, 0, 0, wire.EINVAL},
		{"write to a snapshot", snapshot, wire.CmdWrite, 0, 0, block.Size, wire.EPERM},
		{"trim of a snapshot", snapshot, wire.CmdTrim, 0, 0, block.Size, wire.EPERM},
		{"zeroes to a snapshot", snapshot, wire.CmdWriteZeroes, 0, 0, block.Size, wire.EPERM},
		{"flush of a snapshot", snapshot, wire.CmdFlush, 0, 0, 0, wire.OK},
	} {
		var payload []byte
		if r.command == wire.CmdWrite {
			payload = make([]byte, r.length)
		}
		if errno, _ := r.on.do(r.command, r.flags, r.offset, r.length, payload); errno != r.want {
			t.Errorf("%s: %d, want %d", r.what, errno, r.want)
		}
		if errno, _ := r.on.do(wire.CmdRead, 0, 0, block.Size, nil); errno != wire.OK {
			t.Fatalf("read after %s: %d", r.what, errno)
		}
	}
	if v.Writes.Load() > 0 || v.Zeroes.Load() > 0 {
		t.Error("something was changed")
	}
}

func TestBlockStatusIsAnsweredToWhoAskedForIt(t *testing.T) {
	s := serve(t)
	s.export(t, "db", memory.New(mib), false)
	c := open(t, s.socket, "db")
	for _, at := range []uint64{5, 6, 40} {
		if errno, _ := c.do(wire.CmdWrite, 0, at*block.Size, block.Size, pattern(block.Size, 1)); errno != wire.OK {
			t.Fatalf("write: %d", errno)
		}
	}
	const data, hole = 0, wire.StateHole | wire.StateZero
	for _, q := range []struct {
		first, count uint32
		flags        wire.CommandFlags
		want         []uint32 // blocks and state, in turn
	}{
		{0, 256, 0, []uint32{5, hole, 2, data, 33, hole, 1, data, 215, hole}},
		{0, 256, wire.FlagReqOne, []uint32{5, hole}},
		{6, 1, 0, []uint32{1, data}},
		{6, 30, 0, []uint32{1, data, 29, hole}},
		{41, 7, 0, []uint32{7, hole}},
	} {
		var want []byte
		for i := 0; i < len(q.want); i += 2 {
			want = wire.AppendExtent(want, q.want[i]*block.Size, q.want[i+1])
		}
		errno, got := c.do(wire.CmdBlockStatus, q.flags, uint64(q.first)*block.Size, q.count*block.Size, nil)
		if errno != wire.OK || !bytes.Equal(got, want) {
			t.Errorf("%d blocks from %d on: %d, % x, want % x", q.count, q.first, errno, got, want)
		}
	}
	other := connect(t, s.socket)
	other.ask(wire.OptStructuredReply, "")
	other.ask(wire.OptGo, info("db"))
	if errno, _ := other.do(wire.CmdBlockStatus, 0, 0, mib, nil); errno != wire.EINVAL {
		t.Errorf("nobody agreed on block status: %d", errno)
	}
}

func TestErrorsOfTheVolumeReachTheClient(t *testing.T) {
	s := serve(t)
	v := memory.New(mib)
	s.export(t, "db", v, false)
	c := open(t, s.socket, "db")
	for err, want := range map[error]wire.Errno{
		device.ErrNoSpace: wire.ENOSPC, device.ErrGone: wire.ESHUTDOWN, device.ErrTimeout: wire.EIO, errors.New("rot"): wire.EIO,
	} {
		v.Fail.Store(&err)
		for _, command := range []wire.Command{wire.CmdRead, wire.CmdWrite, wire.CmdTrim} {
			var payload []byte
			if command == wire.CmdWrite {
				payload = make([]byte, block.Size)
			}
			if errno, _ := c.do(command, 0, 0, block.Size, payload); errno != want {
				t.Errorf("%d with %v: %d, want %d", command, err, errno, want)
			}
		}
	}
}

func TestManyRequestsAtOnceAreAnsweredEachOnItsOwn(t *testing.T) {
	s := serve(t)
	v := memory.New(4 * mib)
	s.export(t, "db", v, false)
	c := open(t, s.socket, "db")
	const requests = 900 // more than may be under way
	var all []byte
	for i := range uint64(requests) {
		at := i * block.Size
		all = wire.AppendRequest(all, wire.Request{Command: wire.CmdWrite, Cookie: i, Offset: at, Length: block.Size})
		all = append(all, pattern(block.Size, byte(i))...)
		all = wire.AppendRequest(all, wire.Request{Command: wire.CmdFlush, Cookie: requests + i})
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(all)
		sent <- err
	}()
	seen := map[uint64]bool{}
	for range 2 * requests {
		r, _ := c.reply()
		if r.Errno != wire.OK || seen[r.Cookie] {
			t.Fatalf("%+v", r)
		}
		seen[r.Cookie] = true
	}
	must(t, <-sent)
	for i := range requests {
		if !v.Holds(int64(i)*block.Size, pattern(block.Size, byte(i))) {
			t.Fatalf("block %d is not what was written", i)
		}
	}
}

func TestClientThatTakesLeaveGetsItsAnswersFirst(t *testing.T) {
	s := serve(t)
	v := memory.New(mib)
	s.export(t, "db", v, false)
	c := open(t, s.socket, "db")
	v.Hang()
	c.request(wire.Request{Command: wire.CmdRead, Cookie: 5, Length: block.Size}, nil)
	c.request(wire.Request{Command: wire.CmdDisconnect}, nil)
	<-v.Hung
	v.Answer(nil)
	if r, data := c.reply(); r.Cookie != 5 || len(data) != block.Size {
		t.Errorf("%+v with %d bytes", r, len(data))
	}
	c.ended()
}

func TestExportInUseIsClosedByForceAlone(t *testing.T) {
	s := serve(t)
	v := memory.New(mib)
	e := s.export(t, "db", v, false)
	c := open(t, s.socket, "db")
	c.do(wire.CmdRead, 0, 0, block.Size, nil)
	if err := e.Close(false); !errors.Is(err, device.ErrBusy) || e.Clients() != 1 {
		t.Errorf("with %d clients: %v", e.Clients(), err)
	}
	v.Hang()
	c.request(wire.Request{Command: wire.CmdRead, Length: block.Size}, nil)
	<-v.Hung
	must(t, e.Close(true)) // whoever hangs
	c.ended()
	v.Answer(device.ErrGone) // late, and hurts nobody
	if got := connect(t, s.socket).verdict(wire.OptGo, info("db")); got != wire.RepErrUnknown {
		t.Errorf("after its end: %#x", got)
	}
}

func TestNameIsExportedOnce(t *testing.T) {
	s := serve(t)
	e := s.export(t, "db", memory.New(mib), false)
	again := func() error {
		_, err := s.Export(e.ExportParams)
		return err
	}
	if err := again(); !errors.Is(err, device.ErrAttached) {
		t.Error(err)
	}
	must(t, e.Close(false))
	must(t, again())
}

func TestNewClientsSeeThatAVolumeHasGrown(t *testing.T) {
	s := serve(t)
	v := memory.New(mib)
	s.export(t, "db", v, false)
	before := open(t, s.socket, "db")
	v.Grow(2 * mib)
	after := open(t, s.socket, "db")
	if errno, _ := before.do(wire.CmdRead, 0, mib, block.Size, nil); errno != wire.EINVAL {
		t.Errorf("beyond what the client knows: %d", errno)
	}
	if errno, _ := after.do(wire.CmdRead, 0, mib, block.Size, nil); errno != wire.OK {
		t.Errorf("within what the client knows: %d", errno)
	}
}

func TestWhoIsNoClientIsTurnedAwayWithAReason(t *testing.T) {
	for reason, said := range map[string]string{
		"client flags":           "\x00\x00\x00\xff",
		"an option begins":       "\x00\x00\x00\x03GET / HTTP/1.1\r\n",
		"at most 16384":          "\x00\x00\x00\x03IHAVEOPT\x00\x00\x00\x07\x7f\xff\xff\xff",
		"there is no export":     "\x00\x00\x00\x03IHAVEOPT\x00\x00\x00\x01\x00\x00\x00\x01x",
		"a request begins with":  "\x00\x00\x00\x03IHAVEOPT\x00\x00\x00\x01\x00\x00\x00\x02db" + strings.Repeat("no", 14),
		"it writes 67108864":     "\x00\x00\x00\x03IHAVEOPT\x00\x00\x00\x01\x00\x00\x00\x02db" + string(wire.AppendRequest(nil, wire.Request{Command: wire.CmdWrite, Length: 64 * mib})),
		"unexpected EOF":         "\x00\x00\x00\x03IHAVEOPT\x00\x00\x00\x01\x00\x00\x00\x02db\x25\x60",
		"read option 7: unexpec": "\x00\x00\x00\x03IHAVEOPT\x00\x00\x00\x07\x00\x00\x00\x10x",
	} {
		t.Run(reason, func(t *testing.T) {
			s := serve(t)
			s.export(t, "db", memory.New(mib), false)
			c := dial(t, "unix", s.socket)
			c.write([]byte(said))
			must(t, c.Conn.(*net.UnixConn).CloseWrite())
			s.log.await(reason)
		})
	}
}
