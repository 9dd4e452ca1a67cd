package wire

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// golden compares bytes with those written down, spaces aside.
func golden(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if text := hex.EncodeToString(got); text != strings.ReplaceAll(want, " ", "") {
		t.Errorf("%s:\n got %s\nwant %s", what, text, strings.ReplaceAll(want, " ", ""))
	}
}

func TestBytesAreThoseOfTheProtocol(t *testing.T) {
	golden(t, "greeting", Greeting(), "4e42444d41474943 49484156454f5054 0003")
	golden(t, "ack", AppendReply(nil, OptGo, RepAck), "0003e889045565a9 00000007 00000001 00000000")
	golden(t, "unsupported", AppendReply(nil, OptExtendedHeaders, RepErrUnsupported, []byte("no")...),
		"0003e889045565a9 0000000b 80000001 00000002 6e6f")
	golden(t, "server", AppendServer(nil, "db", "x"), "0003e889045565a9 00000003 00000002 00000007 00000002 6462 78")
	golden(t, "export", AppendExport(nil, OptInfo, 1<<30, HasFlags|CanFlush),
		"0003e889045565a9 00000006 00000003 0000000c 0000 0000000040000000 0005")
	golden(t, "description", AppendText(nil, OptGo, InfoDescription, "x"), "0003e889045565a9 00000007 00000003 00000003 0002 78")
	golden(t, "block sizes", AppendBlockSizes(nil, OptGo, 4096, 65536, 32<<20),
		"0003e889045565a9 00000007 00000003 0000000e 0003 00001000 00010000 02000000")
	golden(t, "context", AppendMetaContext(nil, OptSetMeta, 1, BaseAllocation),
		"0003e889045565a9 0000000a 00000004 00000013 00000001 626173653a616c6c6f636174696f6e")
	golden(t, "export name", AppendExportName(nil, 4096, HasFlags, true), "0000000000001000 0001")
	golden(t, "export name, padded", AppendExportName(nil, 4096, HasFlags, false), "0000000000001000 0001"+strings.Repeat("00", 124))
	golden(t, "request", AppendRequest(nil, Request{Flags: FlagFUA, Command: CmdWrite, Cookie: 0x0102030405060708, Offset: 8192, Length: 4096}),
		"25609513 0001 0001 0102030405060708 0000000000002000 00001000")
	head := make([]byte, HeadBytesMax)
	golden(t, "simple", head[:PutSimple(head, 7, EIO)], "67446698 00000005 0000000000000007")
	golden(t, "done", head[:PutDone(head, 7)], "668e33ef 0001 0000 0000000000000007 00000000")
	golden(t, "error", head[:PutError(head, 7, ENOSPC)], "668e33ef 0001 8001 0000000000000007 00000006 0000001c 0000")
	golden(t, "data", head[:PutData(head, 7, 8192, 4096)], "668e33ef 0001 0001 0000000000000007 00001008 0000000000002000")
	golden(t, "block status", AppendExtent(head[:PutBlockStatus(head, 7, 1, 1):24], 4096, StateHole|StateZero),
		"668e33ef 0001 0005 0000000000000007 0000000c 00000001 00001000 00000003")
}

func TestOptionsComeApart(t *testing.T) {
	kind, length, err := ParseOption([]byte("IHAVEOPT\x00\x00\x00\x07\x00\x00\x00\x10"))
	if kind != OptGo || length != 16 || err != nil {
		t.Errorf("%v of %d bytes: %v", kind, length, err)
	}
	name, infos, err := ParseInfo([]byte("\x00\x00\x00\x02db\x00\x02\x00\x01\x00\x03"))
	if name != "db" || !slices.Equal(infos, []uint16{InfoName, InfoBlockSize}) || err != nil {
		t.Errorf("%q, %v: %v", name, infos, err)
	}
	name, queries, err := ParseMeta([]byte("\x00\x00\x00\x02db\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x00"))
	if name != "db" || !slices.Equal(queries, []string{"a", ""}) || err != nil {
		t.Errorf("%q, %q: %v", name, queries, err)
	}
	if noZeroes, err := ParseClientFlags([]byte{0, 0, 0, 3}); !noZeroes || err != nil {
		t.Errorf("no zeroes %v: %v", noZeroes, err)
	}
}

func TestWhatIsNotOfTheProtocolIsRefused(t *testing.T) {
	long := append([]byte{0, 0, 0x10, 1}, make([]byte, 4097+2)...)
	for what, parse := range map[string]func() error{
		"client flags":     func() error { _, err := ParseClientFlags([]byte{0, 0, 0, 4}); return err },
		"magic of option":  func() error { _, _, err := ParseOption(make([]byte, OptionHeaderBytes)); return err },
		"magic of request": func() error { _, err := ParseRequest(make([]byte, RequestBytes)); return err },
		"empty info":       func() error { _, _, err := ParseInfo(nil); return err },
		"short name":       func() error { _, _, err := ParseInfo([]byte("\x00\x00\x00\x09db\x00\x00")); return err },
		"long name":        func() error { _, _, err := ParseInfo(long); return err },
		"fewer infos":      func() error { _, _, err := ParseInfo([]byte("\x00\x00\x00\x00\x00\x02\x00\x01")); return err },
		"more after infos": func() error { _, _, err := ParseInfo([]byte("\x00\x00\x00\x00\x00\x01\x00\x01x")); return err },
		"many queries":     func() error { _, _, err := ParseMeta([]byte("\x00\x00\x00\x00\xff\xff\xff\xff")); return err },
		"fewer queries":    func() error { _, _, err := ParseMeta([]byte("\x00\x00\x00\x00\x00\x00\x00\x01")); return err },
	} {
		if parse() == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func TestRepliesComeApart(t *testing.T) {
	for what, c := range map[string]struct {
		put  func(b []byte) int
		want Reply
	}{
		"simple": {func(b []byte) int { return PutSimple(b, 7, EIO) }, Reply{Cookie: 7, Errno: EIO}},
		"done":   {func(b []byte) int { return PutDone(b, 7) }, Reply{Cookie: 7}},
		"error":  {func(b []byte) int { return PutError(b, 7, EINVAL) }, Reply{Cookie: 7, Errno: EINVAL}},
		"data":   {func(b []byte) int { return PutData(b, 7, 8192, 4096) }, Reply{Cookie: 7, Offset: 8192, Payload: 4096}},
		"status": {func(b []byte) int { return PutBlockStatus(b, 7, 1, 2) }, Reply{Cookie: 7, Payload: 16}},
	} {
		head := make([]byte, HeadBytesMax)
		head = head[:c.put(head)]
		for n := range len(head) {
			if _, length, err := ParseReply(head[:n]); length != 0 || err != nil {
				t.Errorf("%s, %d bytes of it: length %d, %v", what, n, length, err)
			}
		}
		if r, length, err := ParseReply(head); r != c.want || length != len(head) || err != nil {
			t.Errorf("%s: %+v of %d bytes, %v; want %+v", what, r, length, err, c.want)
		}
	}
}

// FuzzDecoders has the decoders read anything: none may panic, and what a request
// or an option says must come out as it went in.
func FuzzDecoders(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02db\x00\x02\x00\x01\x00\x03"))
	f.Add([]byte("\x00\x00\x00\x02db\x00\x00\x00\x01\x00\x00\x00\x0fbase:allocation"))
	f.Add(AppendRequest(nil, Request{Command: CmdRead, Cookie: 1, Length: 4096}))
	head := make([]byte, HeadBytesMax)
	f.Add(head[:PutData(head, 1, 0, 4096)])
	f.Fuzz(func(t *testing.T, b []byte) {
		if name, _, err := ParseInfo(b); err == nil && len(name) > NameBytesMax {
			t.Errorf("a name of %d bytes", len(name))
		}
		if _, queries, err := ParseMeta(b); err == nil && len(queries) > queriesMax {
			t.Errorf("%d queries", len(queries))
		}
		if len(b) >= ClientFlagsBytes {
			_, _ = ParseClientFlags(b) // either is fine
		}
		if len(b) >= OptionHeaderBytes {
			_, _, _ = ParseOption(b) // either is fine
		}
		if len(b) >= RequestBytes {
			if r, err := ParseRequest(b); err == nil && !bytes.Equal(AppendRequest(nil, r), b[:RequestBytes]) {
				t.Errorf("%+v is not what % x says", r, b[:RequestBytes])
			}
		}
		if r, length, err := ParseReply(b); err == nil && (length > len(b) || r.Payload < 0) {
			t.Errorf("%+v of %d bytes in %d", r, length, len(b))
		}
	})
}
