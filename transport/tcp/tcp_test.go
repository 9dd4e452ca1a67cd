package tcp

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
	"github.com/lagan-storage/lagan/transport/conformance"
	"github.com/lagan-storage/lagan/transport/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is some nodes on loopback. It implements conformance.Network.
type network struct {
	authority *identity.Authority // nil: plain
	limits    Limits
	log       logBuffer

	mu        sync.Mutex
	addresses map[block.NodeID]string
	stops     map[block.NodeID]func()
}

// logBuffer takes what nodes log.
type logBuffer struct {
	mu      sync.Mutex
	changed *sync.Cond
	text    bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.changed.Broadcast()
	return l.text.Write(p)
}

// wait blocks until all of texts have been logged.
func (l *logBuffer) wait(texts ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range texts {
		for !bytes.Contains(l.text.Bytes(), []byte(text)) {
			l.changed.Wait()
		}
	}
}

func newNetwork(t testing.TB, secure bool) *network {
	t.Helper()
	n := &network{addresses: map[block.NodeID]string{}, stops: map[block.NodeID]func(){}}
	n.log.changed = sync.NewCond(&n.log.mu)
	if secure {
		authority, err := identity.NewAuthority(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		n.authority = authority
	}
	t.Cleanup(func() {
		if t.Failed() {
			n.log.mu.Lock()
			defer n.log.mu.Unlock()
			t.Logf("the nodes' log:\n%s", n.log.text.String())
		}
	})
	return n
}

func issue(t testing.TB, authority *identity.Authority, node block.NodeID) *identity.Identity {
	t.Helper()
	key, request, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Issue(request, node, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own, err := identity.Parse(authority.Certificate(), certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func (n *network) params(t testing.TB, node block.NodeID) Params {
	t.Helper()
	p := Params{
		Node: node, Listen: "127.0.0.1:0", Plain: n.authority == nil, Pool: block.Heap{}, BlockSize: block.Size,
		Limits: n.limits, Log: slog.New(slog.NewTextHandler(&n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Address: func(id block.NodeID) (string, bool) {
			n.mu.Lock()
			defer n.mu.Unlock()
			address, known := n.addresses[id]
			return address, known
		},
	}
	if n.authority != nil {
		p.Identity = issue(t, n.authority, node)
	}
	return p
}

func (n *network) start(t testing.TB, p Params, acceptor transport.Acceptor) *Transport {
	t.Helper()
	tr, err := New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- tr.Run(ctx, acceptor) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses[p.Node], n.stops[p.Node] = tr.Addr().String(), stop
	return tr
}

// Start implements conformance.Network.
func (n *network) Start(t *testing.T, node block.NodeID, acceptor transport.Acceptor) transport.Transport {
	return n.start(t, n.params(t, node), acceptor)
}

// Stop implements conformance.Network.
func (n *network) Stop(_ *testing.T, node block.NodeID) {
	n.mu.Lock()
	stop := n.stops[node]
	n.mu.Unlock()
	stop()
}

func TestPlainConforms(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Network { return newNetwork(t, false) })
}

func TestMutualTLSConforms(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Network { return newNetwork(t, true) })
}

func node(i byte) block.NodeID { return block.NodeID{i} }

func hello(from block.NodeID) message.Hello {
	return message.Hello{Version: message.Version, Node: from, Volume: block.VolumeID{1}}
}

// handler is a Handler and Acceptor of functions that may be nil.
type handler struct {
	message func(c transport.Conn, m *message.Message)
	batch   func(c transport.Conn)
	opened  chan transport.Conn // of a dialled or accepted connection
	closed  chan step.ConnError
}

func newHandler() *handler {
	return &handler{opened: make(chan transport.Conn, 16), closed: make(chan step.ConnError, 16)}
}

func (h *handler) Accept(c transport.Conn, _ message.Hello) (transport.Handler, error) {
	h.opened <- c
	return h, nil
}
func (h *handler) Connected(c transport.Conn) { h.opened <- c }
func (h *handler) Message(c transport.Conn, m *message.Message) {
	if h.message != nil {
		h.message(c, m)
	}
	m.Payload.Release()
}

func (h *handler) BatchEnd(c transport.Conn) {
	if h.batch != nil {
		h.batch(c)
	}
}
func (h *handler) Closed(_ transport.Conn, why step.ConnError) { h.closed <- why }

// write returns an APPEND of one block of data.
func write(seq block.Seq, data block.Buffer) message.Message {
	return message.Message{Kind: message.Append, Era: 1, Seq: seq, Payload: data, Record: message.Record{
		Op: message.OpWrite, Range: block.Range{Count: uint32(data.Len() / block.Size)},
		Checksums: block.ChecksumsOf(data.Bytes(), block.Size),
	}}
}
