// Package wire is the NBD protocol as bytes: its numbers, and what turns values
// into bytes and back. It knows no socket, volume or goroutine. The server in
// plugin/device/nbd uses it, as can whatever drives the kernel's client.
//
//	server ── Greeting ──────────────────────▶ client
//	       ◀─ client flags ───────────────────
//	       ◀─ Option ─────────────────────────      haggling, until an export
//	       ── option replies ────────────────▶      was chosen: GO, EXPORT_NAME
//	       ◀─ Request [payload] ──────────────      transmission
//	       ── simple or structured reply ────▶
//
// Everything is in network byte order. The specification is doc/proto.md of
// https://github.com/NetworkBlockDevice/nbd. A decoder returns an error for
// what is not of the protocol and never panics; whether what it says is allowed
// its caller judges.
package wire

import "encoding/binary"

// order is that of all numbers.
var order = binary.BigEndian // constant table: never written

// The magic numbers.
const (
	magicServer     = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption     = 0x49484156454f5054 // "IHAVEOPT"
	magicReply      = 0x0003e889045565a9 // of an option
	magicRequest    = 0x25609513
	magicSimple     = 0x67446698
	magicStructured = 0x668e33ef
)

// Flags of the handshake, in both directions.
const (
	HandshakeFixed    = 1 << 0 // fixed newstyle
	HandshakeNoZeroes = 1 << 1 // without the padding that ends EXPORT_NAME
)

// OptionKind says what a client asks for before it has chosen an export.
type OptionKind uint32

// The options.
const (
	OptExportName      OptionKind = 1
	OptAbort           OptionKind = 2
	OptList            OptionKind = 3
	OptStartTLS        OptionKind = 5
	OptInfo            OptionKind = 6
	OptGo              OptionKind = 7
	OptStructuredReply OptionKind = 8
	OptListMeta        OptionKind = 9
	OptSetMeta         OptionKind = 10
	OptExtendedHeaders OptionKind = 11
)

// OptionReply says what an answer to an option is.
type OptionReply uint32

// The answers to options; those with the highest bit are errors.
const (
	RepAck            OptionReply = 1
	RepServer         OptionReply = 2
	RepInfo           OptionReply = 3
	RepMetaContext    OptionReply = 4
	RepErrUnsupported OptionReply = 1<<31 | 1
	RepErrPolicy      OptionReply = 1<<31 | 2
	RepErrInvalid     OptionReply = 1<<31 | 3
	RepErrTLSRequired OptionReply = 1<<31 | 5
	RepErrUnknown     OptionReply = 1<<31 | 6
	RepErrShutdown    OptionReply = 1<<31 | 7
	RepErrTooBig      OptionReply = 1<<31 | 9
)

// The pieces of information on an export, of RepInfo.
const (
	InfoExport      = 0
	InfoName        = 1
	InfoDescription = 2
	InfoBlockSize   = 3
)

// TransmissionFlags say what can be asked of an export.
type TransmissionFlags uint16

// The transmission flags.
const (
	HasFlags     TransmissionFlags = 1 << 0
	ReadOnly     TransmissionFlags = 1 << 1
	CanFlush     TransmissionFlags = 1 << 2
	CanFUA       TransmissionFlags = 1 << 3
	CanTrim      TransmissionFlags = 1 << 5
	CanZero      TransmissionFlags = 1 << 6
	CanDF        TransmissionFlags = 1 << 7 // one chunk for one read: of structured replies only
	CanMultiConn TransmissionFlags = 1 << 8 // a flush covers all connections
	CanCache     TransmissionFlags = 1 << 10
	CanFastZero  TransmissionFlags = 1 << 11
)

// Command is what a request asks for.
type Command uint16

// The commands.
const (
	CmdRead        Command = 0
	CmdWrite       Command = 1
	CmdDisconnect  Command = 2
	CmdFlush       Command = 3
	CmdTrim        Command = 4
	CmdCache       Command = 5
	CmdWriteZeroes Command = 6
	CmdBlockStatus Command = 7
)

// CommandFlags modify a request.
type CommandFlags uint16

// The flags of commands.
const (
	FlagFUA      CommandFlags = 1 << 0
	FlagNoHole   CommandFlags = 1 << 1
	FlagDF       CommandFlags = 1 << 2
	FlagReqOne   CommandFlags = 1 << 3 // of a block status: one extent is enough
	FlagFastZero CommandFlags = 1 << 4 // zero at once, or fail
)

// Errno is an error to a client: the protocol has its own numbers.
type Errno uint32

// The errors.
const (
	OK        Errno = 0
	EPERM     Errno = 1
	EIO       Errno = 5
	ENOMEM    Errno = 12
	EINVAL    Errno = 22
	ENOSPC    Errno = 28
	EOVERFLOW Errno = 75
	ENOTSUP   Errno = 95
	ESHUTDOWN Errno = 108
)

// BaseAllocation is the metadata context that says where there is data.
const BaseAllocation = "base:allocation"

// The states of an extent in BaseAllocation; neither: there may be data.
const (
	StateHole = 1 << 0
	StateZero = 1 << 1
)

// NameBytesMax is the protocol's longest string.
const NameBytesMax = 4096
