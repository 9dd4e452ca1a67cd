package tcp

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
)

// soon is a limit that a test waits to be hit; nothing has to be faster than it.
const soon = 50 * time.Millisecond

func TestNewRefusesWhatIsNotSafe(t *testing.T) {
	n := newNetwork(t, true)
	good := n.params(t, node(1))
	for name, change := range map[string]func(p *Params){
		"neither TLS nor plain": func(p *Params) { p.Identity = nil },
		"both":                  func(p *Params) { p.Plain = true },
		"another's certificate": func(p *Params) { p.Node = node(2) },
		"no pool":               func(p *Params) { p.Pool = nil },
	} {
		p := good
		change(&p)
		if _, err := New(t.Context(), p); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
}

func expectDial(t *testing.T, from *Transport, to block.NodeID, h message.Hello, want step.ConnError) {
	t.Helper()
	dialled := newHandler()
	from.Dial(t.Context(), to, h, dialled)
	if why := <-dialled.closed; why != want || len(dialled.opened) > 0 {
		t.Errorf("dial ended with %d after %d connections, want %d and none", why, len(dialled.opened), want)
	}
}

func TestAHelloInAnothersNameIsDenied(t *testing.T) {
	n := newNetwork(t, true)
	accepted := newHandler()
	n.start(t, n.params(t, node(2)), accepted)
	from := n.start(t, n.params(t, node(1)), newHandler())
	expectDial(t, from, node(2), hello(node(3)), step.ConnDenied)
	n.log.wait("you say to be node 03")
	if len(accepted.opened) > 0 {
		t.Error("the acceptor was asked about an impostor")
	}
}

func TestANodeOfAnotherAuthorityIsDenied(t *testing.T) {
	n, others := newNetwork(t, true), newNetwork(t, true)
	n.start(t, n.params(t, node(2)), newHandler())
	p := n.params(t, node(1))
	p.Identity = issue(t, others.authority, node(1))
	p.Identity.Authority = n.params(t, node(1)).Identity.Authority // it believes the acceptor
	from := n.start(t, p, newHandler())
	expectDial(t, from, node(2), hello(node(1)), step.ConnDenied)
	n.log.wait("unknown authority")
}

func TestADiallerTrustsOnlyTheNodeItMeans(t *testing.T) {
	for _, secure := range []bool{true, false} {
		n := newNetwork(t, secure)
		n.start(t, n.params(t, node(3)), newHandler())
		from := n.start(t, n.params(t, node(1)), newHandler())
		n.addresses[node(2)] = n.addresses[node(3)]
		expectDial(t, from, node(2), hello(node(1)), step.ConnTimeout)
		n.log.wait("level=WARN msg=\"connection not made\"")
	}
}

func TestADiallerTrustsOnlyItsAuthority(t *testing.T) {
	n, others := newNetwork(t, true), newNetwork(t, true)
	p := n.params(t, node(2))
	p.Identity = issue(t, others.authority, node(2))
	n.start(t, p, newHandler())
	from := n.start(t, n.params(t, node(1)), newHandler())
	expectDial(t, from, node(2), hello(node(1)), step.ConnTimeout)
	n.log.wait("unknown authority")
}

func TestAPeerWithoutCertificateIsRefused(t *testing.T) {
	n := newNetwork(t, true)
	accepted := newHandler()
	n.start(t, n.params(t, node(2)), accepted)
	c := dialRaw(t, n, node(2))
	secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	_, _ = secure.Write([]byte("hello"))
	if _, err := secure.Read(make([]byte, 1)); err == nil {
		t.Error("the node answered")
	}
	n.log.wait("certificate")
	if len(accepted.opened) > 0 {
		t.Error("the acceptor was asked")
	}
}

func TestTLSAndPlainNodesDoNotTalk(t *testing.T) {
	n := newNetwork(t, true)
	n.start(t, n.params(t, node(1)), newHandler())
	plain := n.params(t, node(2))
	plain.Identity, plain.Plain = nil, true
	n.start(t, plain, newHandler())
	for _, c := range []struct{ from, to byte }{{1, 2}, {2, 1}} {
		p := n.params(t, node(c.from))
		if c.from == 2 {
			p.Identity, p.Plain = nil, true
		}
		tr, err := New(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		dialled := newHandler()
		tr.Dial(t.Context(), node(c.to), hello(node(c.from)), dialled)
		if why := <-dialled.closed; why != step.ConnReset && why != step.ConnTimeout {
			t.Errorf("dial of %d by %d ended with %d, want ConnReset or ConnTimeout", c.to, c.from, why)
		}
		tr.shut()
		tr.running.Wait()
	}
}

func dialRaw(t *testing.T, n *network, to block.NodeID) net.Conn {
	t.Helper()
	n.mu.Lock()
	address := n.addresses[to]
	n.mu.Unlock()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// greetRaw shakes hands by hand, as node 1.
func greetRaw(t *testing.T, n *network, to block.NodeID) net.Conn {
	t.Helper()
	c := dialRaw(t, n, to)
	h := hello(node(1))
	if _, err := c.Write(transport.AppendHello(nil, &h)); err != nil {
		t.Fatal(err)
	}
	if _, err := transport.ReadWelcome(c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAProtocolErrorClosesTheConnectionWithALoggedReason(t *testing.T) {
	good, err := transport.Append(nil, &message.Message{Kind: message.Ack, Accepted: 7})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, send, reason string }{
		{"foreign bytes", strings.Repeat("x", transport.HeaderSize), "not a frame of ours"},
		{"a damaged frame", string(good[:len(good)-1]) + "?", "header or extension damaged"},
		{"a cut frame", string(good[:len(good)-1]), "ended within the frame"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t, false)
			accepted := newHandler()
			n.start(t, n.params(t, node(2)), accepted)
			raw := greetRaw(t, n, node(2))
			if _, err := raw.Write([]byte(c.send)); err != nil {
				t.Fatal(err)
			}
			if err := raw.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if why := <-accepted.closed; why != step.ConnReset {
				t.Errorf("ended with %d, want ConnReset", why)
			}
			n.log.wait("connection closed: protocol error", c.reason)
			if _, err := io.Copy(io.Discard, raw); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Error(err)
			}
		})
	}
}

func TestABrokenConnectionIsAReset(t *testing.T) {
	n := newNetwork(t, false)
	accepted := newHandler()
	n.start(t, n.params(t, node(2)), accepted)
	raw := greetRaw(t, n, node(2))
	if err := raw.(*net.TCPConn).SetLinger(0); err != nil { // the kernel sends RST
		t.Fatal(err)
	}
	_ = raw.Close()
	if why := <-accepted.closed; why != step.ConnReset {
		t.Errorf("ended with %d, want ConnReset", why)
	}
}

func TestASilentPeerIsDroppedInItsHandshake(t *testing.T) {
	for name, first := range map[string]string{"nothing": "", "half a greeting": "LAGN\x01"} {
		n := newNetwork(t, false)
		n.limits.Handshake = soon
		n.start(t, n.params(t, node(2)), newHandler())
		c := dialRaw(t, n, node(2))
		if _, err := io.WriteString(c, first); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %v", name, err)
		}
		n.log.wait("handshake not ended after 50ms")
	}
}

func TestHandshakesAreLimitedInNumber(t *testing.T) {
	n := newNetwork(t, false)
	n.limits.PendingMax = 2
	n.start(t, n.params(t, node(2)), newHandler())
	first, second := dialRaw(t, n, node(2)), dialRaw(t, n, node(2))
	third := dialRaw(t, n, node(2)) // the kernel hands them out in order
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("the third was not closed")
	}
	n.log.wait("too many in their handshake")
	_, _ = first.Close(), second.Close()
	n.log.wait("read the greeting: EOF") // a place is free, at the latest after the next line
	for {
		dialled := newHandler()
		n.start(t, n.params(t, node(1)), newHandler()).Dial(t.Context(), node(2), hello(node(1)), dialled)
		select {
		case <-dialled.opened:
			return
		case <-dialled.closed:
		}
	}
}

func TestADialIsGivenUpInTime(t *testing.T) {
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	n := newNetwork(t, true)
	n.limits.Dial = soon
	from := n.start(t, n.params(t, node(1)), newHandler())
	n.addresses[node(2)] = silent.Addr().String()
	expectDial(t, from, node(2), hello(node(1)), step.ConnTimeout)
	expectDial(t, from, node(9), hello(node(1)), step.ConnTimeout) // no address is known
}

func TestAPeerThatDoesNotReadIsClosed(t *testing.T) {
	for _, secure := range []bool{false, true} {
		n := newNetwork(t, secure)
		n.limits.QueuedBytesMax = 8 << 20
		accepted := newHandler()
		stuck := make(chan struct{})
		accepted.message = func(transport.Conn, *message.Message) { <-stuck }
		n.start(t, n.params(t, node(2)), accepted)
		from := n.start(t, n.params(t, node(1)), newHandler())
		dialled := newHandler()
		c := from.Dial(t.Context(), node(2), hello(node(1)), dialled)
		<-dialled.opened
		var kept sync.WaitGroup
		for sent := 0; len(dialled.closed) == 0; sent++ {
			if sent > 4096 { // 256 MiB
				t.Fatal("256 MiB are waiting for a peer that does not read")
			}
			kept.Add(1)
			data := block.NewSlab(make([]byte, block.PerChunk*block.Size), func(*block.Slab) { kept.Done() }).Buffer(block.PerChunk * block.Size)
			m := write(1, data)
			c.Send(&m)
			c.Flush()
		}
		if why := <-dialled.closed; why != step.ConnTimeout {
			t.Errorf("ended with %d, want ConnTimeout", why)
		}
		kept.Wait() // all payloads were released
		n.log.wait("the peer does not read")
		close(stuck)
	}
}

func TestASlowPeerGetsEverythingInOrder(t *testing.T) {
	const count = 800 // 50 MiB, more than the socket takes at once
	for _, secure := range []bool{false, true} {
		n := newNetwork(t, secure)
		accepted, all := newHandler(), make(chan struct{})
		begin, last := make(chan struct{}), block.Seq(0)
		accepted.message = func(_ transport.Conn, m *message.Message) {
			<-begin
			if m.Seq != last+1 || m.Payload.Bytes()[5] != byte(m.Seq) {
				t.Errorf("message %d follows %d", m.Seq, last)
			}
			if last = m.Seq; last == count {
				close(all)
			}
		}
		n.start(t, n.params(t, node(2)), accepted)
		from := n.start(t, n.params(t, node(1)), newHandler())
		dialled := newHandler()
		c := from.Dial(t.Context(), node(2), hello(node(1)), dialled)
		for seq := block.Seq(1); seq <= count; seq++ {
			data := block.Heap{}.Get(block.PerChunk * block.Size)
			data.Bytes()[5] = byte(seq)
			m := write(seq, data)
			c.Send(&m)
			c.Flush() // must not wait for the peer
		}
		close(begin)
		<-all
	}
}

func TestAMessageThatCannotBeSentEndsTheConnection(t *testing.T) {
	n := newNetwork(t, false)
	n.start(t, n.params(t, node(2)), newHandler())
	from := n.start(t, n.params(t, node(1)), newHandler())
	dialled := newHandler()
	from.Dial(t.Context(), node(2), hello(node(1)), dialled).Send(&message.Message{Kind: message.KindCount})
	if why := <-dialled.closed; why != step.ConnReset {
		t.Errorf("ended with %d, want ConnReset", why)
	}
	n.log.wait("message cannot be sent", "unknown kind")
}

func TestADialAfterTheEndIsDead(t *testing.T) {
	n := newNetwork(t, false)
	tr := n.start(t, n.params(t, node(1)), newHandler())
	n.Stop(t, node(1))
	dialled := newHandler()
	c := tr.Dial(t.Context(), node(1), hello(node(1)), dialled)
	c.Send(&message.Message{Kind: message.Sync})
	c.Flush()
	c.Close()
	if len(dialled.closed) > 0 {
		t.Error("the handler heard of it")
	}
}
