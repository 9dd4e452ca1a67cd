package wire

import (
	"errors"
	"fmt"
)

// Lengths of what comes before the transmission, in bytes.
const (
	GreetingBytes     = 18
	ClientFlagsBytes  = 4
	OptionHeaderBytes = 16
	replyHeaderBytes  = 20
	exportBytes       = 10
	exportPadding     = 124
)

// queriesMax bounds the metadata contexts that one option asks for: we have one.
const queriesMax = 64

// Greeting is the first that a server says.
func Greeting() []byte {
	b := order.AppendUint64(nil, magicServer)
	b = order.AppendUint64(b, magicOption)
	return order.AppendUint16(b, HandshakeFixed|HandshakeNoZeroes)
}

// ParseClientFlags reads the client's answer to the greeting.
func ParseClientFlags(b []byte) (noZeroes bool, err error) {
	flags := order.Uint32(b)
	if flags&^(HandshakeFixed|HandshakeNoZeroes) != 0 {
		return false, fmt.Errorf("client flags %#x are unknown", flags)
	}
	return flags&HandshakeNoZeroes != 0, nil
}

// ParseOption reads the header of an option: what it is and how many bytes follow.
func ParseOption(b []byte) (kind OptionKind, length uint32, err error) {
	if magic := order.Uint64(b); magic != magicOption {
		return 0, 0, fmt.Errorf("an option begins with %#x", magic)
	}
	return OptionKind(order.Uint32(b[8:])), order.Uint32(b[12:]), nil
}

// AppendReply appends an answer to an option.
func AppendReply(b []byte, to OptionKind, kind OptionReply, body ...byte) []byte {
	b = order.AppendUint64(b, magicReply)
	b = order.AppendUint32(b, uint32(to))
	b = order.AppendUint32(b, uint32(kind))
	b = order.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

// AppendServer appends the name of an export and, for people, what it is, in answer to
// OptList.
func AppendServer(b []byte, name, description string) []byte {
	body := append(order.AppendUint32(nil, uint32(len(name))), name...)
	return AppendReply(b, OptList, RepServer, append(body, description...)...)
}

// AppendExport appends size and flags of an export, in answer to OptInfo or OptGo.
func AppendExport(b []byte, to OptionKind, size uint64, flags TransmissionFlags) []byte {
	body := order.AppendUint16(nil, InfoExport)
	body = order.AppendUint64(body, size)
	return AppendReply(b, to, RepInfo, order.AppendUint16(body, uint16(flags))...)
}

// AppendText appends a name or a description of an export.
func AppendText(b []byte, to OptionKind, info uint16, text string) []byte {
	return AppendReply(b, to, RepInfo, append(order.AppendUint16(nil, info), text...)...)
}

// AppendBlockSizes appends the sizes of requests that an export takes.
func AppendBlockSizes(b []byte, to OptionKind, least, preferred, most uint32) []byte {
	body := order.AppendUint16(nil, InfoBlockSize)
	for _, size := range []uint32{least, preferred, most} {
		body = order.AppendUint32(body, size)
	}
	return AppendReply(b, to, RepInfo, body...)
}

// AppendMetaContext appends a metadata context and the number it has from now on.
func AppendMetaContext(b []byte, to OptionKind, id uint32, name string) []byte {
	return AppendReply(b, to, RepMetaContext, append(order.AppendUint32(nil, id), name...)...)
}

// AppendExportName appends the whole answer to OptExportName.
func AppendExportName(b []byte, size uint64, flags TransmissionFlags, noZeroes bool) []byte {
	b = order.AppendUint64(b, size)
	b = order.AppendUint16(b, uint16(flags))
	if noZeroes {
		return b
	}
	return append(b, make([]byte, exportPadding)...)
}

// errShort is for an option whose body ends before what it announces.
var errShort = errors.New("it ends too early")

// cursor takes an option's body apart.
type cursor struct {
	rest []byte
	err  error
}

func (c *cursor) take(n uint32) []byte {
	if c.err != nil || uint64(n) > uint64(len(c.rest)) {
		c.err = errShort
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return order.Uint32(b)
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return order.Uint16(b)
	}
	return 0
}

func (c *cursor) text() string {
	n := c.uint32()
	if n > NameBytesMax {
		c.err = fmt.Errorf("a string of %d bytes is longer than %d", n, NameBytesMax)
	}
	return string(c.take(n))
}

// end returns why the body is not what it should be.
func (c *cursor) end() error {
	if c.err == nil && len(c.rest) > 0 {
		c.err = fmt.Errorf("%d bytes follow its end", len(c.rest))
	}
	return c.err
}

// ParseInfo reads the body of OptInfo or OptGo: an export, and what is asked about it.
func ParseInfo(body []byte) (name string, infos []uint16, err error) {
	c := cursor{rest: body}
	name = c.text()
	n := int(c.uint16())
	for range min(n, len(c.rest)/2) {
		infos = append(infos, c.uint16())
	}
	if len(infos) < n {
		c.err = errShort
	}
	return name, infos, c.end()
}

// ParseMeta reads the body of OptListMeta or OptSetMeta: an export, and the
// metadata contexts that are asked for.
func ParseMeta(body []byte) (name string, queries []string, err error) {
	c := cursor{rest: body}
	name = c.text()
	n := c.uint32()
	if n > queriesMax {
		return name, nil, fmt.Errorf("%d metadata contexts are more than %d", n, queriesMax)
	}
	for range n {
		queries = append(queries, c.text())
	}
	return name, queries, c.end()
}
