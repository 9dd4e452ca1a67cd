package nbd_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/device/nbd"
	"github.com/lagan-storage/lagan/plugin/device/nbd/wire"
)

const mib = 1 << 20

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// served is a server on a unix socket, and what it logs.
type served struct {
	*nbd.Server
	socket string
	log    *logged
}

// logged is what was logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
	more sync.Cond
}

func newLogged() *logged {
	l := &logged{}
	l.more.L = &l.mu
	return l
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.more.Broadcast()
	return l.text.Write(b)
}

// await waits until something is logged that has text in it.
func (l *logged) await(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !strings.Contains(l.text.String(), text) {
		l.more.Wait()
	}
}

// serve starts a server, which has ended when the test has. Its deadlines are so late
// that no busy machine misses one.
func serve(t testing.TB) served {
	t.Helper()
	return serveAt(t, later)
}

func later() time.Time { return time.Now().Add(time.Hour) }

// serveAt is serve with a clock for deadlines.
func serveAt(t testing.TB, now func() time.Time) served {
	t.Helper()
	log := newLogged()
	s := served{nbd.New(nbd.Params{Now: now, Log: slog.New(slog.NewTextHandler(log, nil))}), filepath.Join(t.TempDir(), "s"), log}
	listen(t, s.Server, "unix", s.socket, nil)
	return s
}

func listen(t testing.TB, s *nbd.Server, network, address string, security *tls.Config) net.Addr {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), network, address)
	must(t, err)
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l, security) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr()
}

// export exports a volume in memory until the test ends.
func (s served) export(t testing.TB, name string, v *memory.Volume, readOnly bool) *nbd.Export {
	t.Helper()
	e, err := s.Export(nbd.ExportParams{Name: name, Description: "a volume in memory", Size: v.Size, ReadOnly: readOnly, Backend: v})
	must(t, err)
	t.Cleanup(func() { must(t, e.Close(true)) })
	return e
}

// client is a client byte by byte.
type client struct {
	net.Conn
	t testing.TB
}

// dial connects to a server.
func dial(t testing.TB, network, address string) client {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), network, address)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return client{conn, t}
}

// connect greets a server.
func connect(t testing.TB, socket string) client {
	t.Helper()
	c := dial(t, "unix", socket)
	if got := c.read(wire.GreetingBytes); string(got) != string(wire.Greeting()) {
		t.Fatalf("greeting % x", got)
	}
	c.write([]byte{0, 0, 0, wire.HandshakeFixed | wire.HandshakeNoZeroes})
	return c
}

func (c client) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c client) read(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatal(err)
	}
	return b
}

// ended waits until the server has hung up.
func (c client) ended() {
	c.t.Helper()
	if n, err := io.Copy(io.Discard, c); n > 0 {
		c.t.Errorf("%d bytes came before the end (%v)", n, err)
	}
}

// say sends an option.
func (c client) say(kind wire.OptionKind, body string) {
	c.t.Helper()
	b := binary.BigEndian.AppendUint32([]byte("IHAVEOPT"), uint32(kind))
	c.write(append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...))
}

type optionReply struct {
	kind wire.OptionReply
	body string
}

func (r optionReply) String() string { return fmt.Sprintf("%#x %q", uint32(r.kind), r.body) }

// ask sends an option and returns the answers, the last included.
func (c client) ask(kind wire.OptionKind, body string) (all []optionReply) {
	c.t.Helper()
	c.say(kind, body)
	for {
		head := c.read(20)
		if got := wire.OptionKind(binary.BigEndian.Uint32(head[8:])); got != kind {
			c.t.Fatalf("an answer to option %d, asked was %d", got, kind)
		}
		r := optionReply{wire.OptionReply(binary.BigEndian.Uint32(head[12:])), string(c.read(int(binary.BigEndian.Uint32(head[16:]))))}
		if all = append(all, r); r.kind == wire.RepAck || r.kind>>31 != 0 {
			return all
		}
	}
}

// verdict sends an option and returns the last answer.
func (c client) verdict(kind wire.OptionKind, body string) wire.OptionReply {
	c.t.Helper()
	all := c.ask(kind, body)
	return all[len(all)-1].kind
}

func text(s string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s }

// info is the body of an OptInfo or OptGo.
func info(name string, infos ...uint16) string {
	b := binary.BigEndian.AppendUint16([]byte(text(name)), uint16(len(infos)))
	for _, i := range infos {
		b = binary.BigEndian.AppendUint16(b, i)
	}
	return string(b)
}

// meta is the body of an OptListMeta or OptSetMeta.
func meta(name string, queries ...string) string {
	s := text(name) + string(binary.BigEndian.AppendUint32(nil, uint32(len(queries))))
	for _, q := range queries {
		s += text(q)
	}
	return s
}

// open connects and chooses an export with structured replies and block status.
func open(t testing.TB, socket, name string) client {
	t.Helper()
	c := connect(t, socket)
	for _, o := range []struct {
		kind wire.OptionKind
		body string
	}{{wire.OptStructuredReply, ""}, {wire.OptSetMeta, meta(name, wire.BaseAllocation)}, {wire.OptGo, info(name)}} {
		if got := c.verdict(o.kind, o.body); got != wire.RepAck {
			t.Fatalf("option %d: %#x", o.kind, got)
		}
	}
	return c
}

// request sends a request.
func (c client) request(r wire.Request, payload []byte) {
	c.t.Helper()
	c.write(append(wire.AppendRequest(nil, r), payload...))
}

// reply reads a reply with its payload; simple ones have none here.
func (c client) reply() (wire.Reply, []byte) {
	c.t.Helper()
	var b []byte
	for {
		r, length, err := wire.ParseReply(b)
		must(c.t, err)
		if length > 0 {
			return r, c.read(r.Payload)
		}
		b = append(b, c.read(1)...)
	}
}

// do sends a request and waits for its reply.
func (c client) do(command wire.Command, flags wire.CommandFlags, offset uint64, length uint32, payload []byte) (wire.Errno, []byte) {
	c.t.Helper()
	const cookie = 0xfeed
	c.request(wire.Request{Flags: flags, Command: command, Cookie: cookie, Offset: offset, Length: length}, payload)
	r, data := c.reply()
	if r.Cookie != cookie {
		c.t.Fatalf("cookie %#x, want %#x", r.Cookie, cookie)
	}
	return r.Errno, data
}

// pattern is length bytes that are not like others.
func pattern(length int, seed byte) []byte {
	b := make([]byte, length)
	for i := range b {
		b[i] = byte(i/block.Size) + byte(i)*3 + seed
	}
	return b
}
