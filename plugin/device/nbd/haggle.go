package nbd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device/nbd/wire"
)

const (
	// haggleWithin bounds all that comes before the transmission: some clients
	// are people who try things.
	haggleWithin = 30 * time.Second
	// optionBytesMax bounds one option: a name and a few metadata contexts.
	optionBytesMax = 16 << 10
	// transferBytesMax is the most that one request reads or writes: what clients
	// take for granted that do not ask, as the kernel's.
	transferBytesMax = 32 << 20
	// transferBytesPreferred is what one copy reads or writes in one go.
	transferBytesPreferred = block.Size * block.PerChunk
	// allocationContext is the number of wire.BaseAllocation.
	allocationContext = 1
)

// errLeft says that a client ended the haggling as it may.
var errLeft = errors.New("client has left")

// agreement is what haggling came to.
type agreement struct {
	socket     net.Conn
	conn       net.Conn // the same, or TLS on it
	export     *Export
	size       int64
	structured bool // replies
	allocation bool // block status can be asked for
}

// haggling is the talk of one client before it has chosen an export.
type haggling struct {
	agreement
	server   *Server
	security *tls.Config // nil: plain
	secured  bool
	noZeroes bool
	metaOf   string // the export that block status was asked of
	meta     bool
	chosen   bool
}

// haggle talks with a client until it has chosen an export. It reads no byte of
// what follows.
func (s *Server) haggle(ctx context.Context, conn net.Conn, security *tls.Config) (agreement, error) {
	h := haggling{server: s, security: security, agreement: agreement{socket: conn, conn: conn}}
	if err := conn.SetDeadline(s.now().Add(haggleWithin)); err != nil {
		return agreement{}, err
	}
	if err := h.greet(); err != nil {
		return agreement{}, err
	}
	for !h.chosen {
		if err := h.option(ctx); err != nil {
			return agreement{}, err
		}
	}
	h.allocation = h.meta && h.metaOf == h.export.name
	return h.agreement, conn.SetDeadline(time.Time{})
}

// greet exchanges the first bytes. Who hangs up here only looked whether somebody
// listens.
func (h *haggling) greet() error {
	var flags [wire.ClientFlagsBytes]byte
	_, err := h.conn.Write(wire.Greeting())
	if err == nil {
		_, err = io.ReadFull(h.conn, flags[:])
	}
	if err != nil {
		return gone("greet", err)
	}
	h.noZeroes, err = wire.ParseClientFlags(flags[:])
	return err
}

// gone tells a client that has hung up between two messages from one that has not.
func gone(doing string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return errLeft
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// option reads one option and answers it.
func (h *haggling) option(ctx context.Context) error {
	var head [wire.OptionHeaderBytes]byte
	if _, err := io.ReadFull(h.conn, head[:]); err != nil {
		return gone("read an option", err)
	}
	kind, length, err := wire.ParseOption(head[:])
	if err != nil {
		return err
	}
	if length > optionBytesMax {
		return fmt.Errorf("option %d has %d bytes, at most %d are taken", kind, length, optionBytesMax)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(h.conn, body); err != nil {
		return fmt.Errorf("read option %d: %w", kind, err)
	}
	if h.security != nil && !h.secured && kind != wire.OptStartTLS && kind != wire.OptAbort {
		if kind == wire.OptExportName {
			return errors.New("it does not ask for TLS, without which nobody is served here")
		}
		return h.answer(kind, wire.RepErrTLSRequired, "this server wants TLS")
	}
	return h.on(ctx, kind, body)
}

// on answers one option.
func (h *haggling) on(ctx context.Context, kind wire.OptionKind, body []byte) error {
	switch kind {
	case wire.OptExportName:
		return h.onExportName(string(body))
	case wire.OptAbort:
		_ = h.answer(kind, wire.RepAck, "") // it need not wait for that
		return errLeft
	case wire.OptList:
		return h.onList(body)
	case wire.OptStartTLS:
		return h.onStartTLS(ctx, body)
	case wire.OptInfo, wire.OptGo:
		return h.onInfo(kind, body)
	case wire.OptStructuredReply:
		if len(body) > 0 {
			return h.invalid(kind, "it has a body")
		}
		h.structured = true
		return h.answer(kind, wire.RepAck, "")
	case wire.OptListMeta, wire.OptSetMeta:
		return h.onMeta(kind, body)
	default: // also wire.OptExtendedHeaders
		return h.answer(kind, wire.RepErrUnsupported, "")
	}
}

// answer sends an answer that is nothing but itself and, for people, a reason.
func (h *haggling) answer(to wire.OptionKind, reply wire.OptionReply, text string) error {
	return h.send(wire.AppendReply(nil, to, reply, []byte(text)...))
}

func (h *haggling) invalid(to wire.OptionKind, why string) error {
	return h.answer(to, wire.RepErrInvalid, why)
}

func (h *haggling) send(b []byte) error {
	if _, err := h.conn.Write(b); err != nil {
		return fmt.Errorf("answer an option: %w", err)
	}
	return nil
}

// onExportName is how old clients choose: nothing can be refused but by hanging up.
func (h *haggling) onExportName(name string) error {
	e := h.server.find(name)
	if e == nil {
		return fmt.Errorf("there is no export %q", name)
	}
	h.choose(e)
	return h.send(wire.AppendExportName(nil, uint64(h.size), e.flags(h.structured), h.noZeroes))
}

func (h *haggling) choose(e *Export) {
	h.export, h.size, h.chosen = e, e.Size(), true
}

func (h *haggling) onList(body []byte) error {
	if len(body) > 0 {
		return h.invalid(wire.OptList, "it has a body")
	}
	var b []byte
	for _, e := range h.server.all() {
		b = wire.AppendServer(b, e.name, e.Description)
	}
	return h.send(wire.AppendReply(b, wire.OptList, wire.RepAck))
}

// onStartTLS puts TLS on the connection. No byte of the client's was read that came
// before it, and nothing that was agreed on before it counts.
func (h *haggling) onStartTLS(ctx context.Context, body []byte) error {
	switch {
	case h.security == nil:
		return h.answer(wire.OptStartTLS, wire.RepErrUnsupported, "there is no TLS on this socket")
	case len(body) > 0:
		return h.invalid(wire.OptStartTLS, "it has a body")
	case h.secured:
		return h.invalid(wire.OptStartTLS, "it is the second one")
	}
	if err := h.answer(wire.OptStartTLS, wire.RepAck, ""); err != nil {
		return err
	}
	secure := tls.Server(h.conn, h.security)
	if err := secure.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("agree on TLS: %w", err)
	}
	h.agreement = agreement{socket: h.socket, conn: secure}
	h.secured, h.meta = true, false
	return nil
}

// onInfo describes an export and, if that is asked, chooses it. Block sizes are told
// to everybody: what is not made of blocks would be refused later.
func (h *haggling) onInfo(kind wire.OptionKind, body []byte) error {
	name, infos, err := wire.ParseInfo(body)
	if err != nil {
		return h.invalid(kind, err.Error())
	}
	e := h.server.find(name)
	if e == nil {
		return h.answer(kind, wire.RepErrUnknown, fmt.Sprintf("there is no export %q", name))
	}
	size := e.Size()
	b := wire.AppendExport(nil, kind, uint64(size), e.flags(h.structured))
	b = wire.AppendBlockSizes(b, kind, block.Size, transferBytesPreferred, transferBytesMax)
	if slices.Contains(infos, wire.InfoName) {
		b = wire.AppendText(b, kind, wire.InfoName, e.name)
	}
	if slices.Contains(infos, wire.InfoDescription) && e.Description != "" {
		b = wire.AppendText(b, kind, wire.InfoDescription, e.Description)
	}
	if err := h.send(wire.AppendReply(b, kind, wire.RepAck)); err != nil {
		return err
	}
	if kind == wire.OptGo {
		h.choose(e)
		h.size = size // as it was told
	}
	return nil
}

// onMeta lists or chooses what can be asked with a block status.
func (h *haggling) onMeta(kind wire.OptionKind, body []byte) error {
	name, queries, err := wire.ParseMeta(body)
	switch {
	case err != nil:
		return h.invalid(kind, err.Error())
	case !h.structured:
		return h.invalid(kind, "structured replies must be agreed on first")
	}
	if kind == wire.OptSetMeta {
		h.meta = false // the last one counts, also when it is refused
	}
	if h.server.find(name) == nil {
		return h.answer(kind, wire.RepErrUnknown, fmt.Sprintf("there is no export %q", name))
	}
	found := slices.Contains(queries, wire.BaseAllocation)
	if kind == wire.OptListMeta {
		namespace, _, _ := strings.Cut(wire.BaseAllocation, ":")
		found = found || len(queries) == 0 || slices.Contains(queries, namespace+":")
	}
	var b []byte
	if found {
		b = wire.AppendMetaContext(b, kind, allocationContext, wire.BaseAllocation)
	}
	if kind == wire.OptSetMeta {
		h.meta, h.metaOf = found, name
	}
	return h.send(wire.AppendReply(b, kind, wire.RepAck))
}
