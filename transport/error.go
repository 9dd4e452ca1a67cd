package transport

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/message"
)

// Fault says what is wrong with a frame.
type Fault uint8

// The faults.
const (
	BadMagic     Fault = iota // the bytes are no frame of ours
	WrongVersion              // the frame is of another version
	UnknownKind
	UnknownStatus
	UnknownFlag      // a bit is set that means nothing in this version
	UnknownField     // the frame names a group that this version does not know
	ExtensionTooLong // longer than any message needs
	ExtensionShort   // ends within a group
	ExtensionSurplus // has bytes after its last group
	PayloadTooLong   // more than one chunk
	PayloadLength    // not what the message's range says
	PayloadForbidden // this kind has none
	TooManyChanges
	TooManyChecksums
	BadValue // a field has a value outside its range
	BadCRC   // header or extension were damaged on the way
	BadBlock // a block of the payload does not match its checksum
	Truncated
	OutOfPlace // a handshake frame later, or a message before the handshake
)

// FrameError refuses a frame. The stream after it is not to be trusted: the
// connection has to end.
type FrameError struct {
	Fault Fault
	Kind  message.Kind // as the frame says; 0 if that is not known
	Got   uint64       // the offending value
	Limit uint64       // what it should be, or be at most; 0 if there is no one such value
	Err   error        // of the source, for Truncated
}

// Error names the kind, the fault, the value found and the one asked for.
func (e *FrameError) Error() string {
	format := "frame of kind %d: %v %d"
	if e.Fault == BadMagic || e.Fault == BadCRC {
		format = "frame of kind %d: %v %#x"
	}
	text := fmt.Sprintf(format, e.Kind, e.Fault, e.Got)
	switch {
	case e.Limit == 0:
	case e.Fault == BadCRC:
		text += fmt.Sprintf(", want %#x", e.Limit)
	case e.Fault.bound():
		text += fmt.Sprintf(", want %d at most", e.Limit)
	default:
		text += fmt.Sprintf(", want %d", e.Limit)
	}
	return text
}

// Unwrap returns the error of the source.
func (e *FrameError) Unwrap() error { return e.Err }

// bound reports whether Limit is an upper bound rather than the one right value.
func (f Fault) bound() bool {
	switch f {
	case ExtensionTooLong, PayloadTooLong, TooManyChanges, TooManyChecksums:
		return true
	case BadMagic, WrongVersion, UnknownKind, UnknownStatus, UnknownFlag, UnknownField, ExtensionShort,
		ExtensionSurplus, PayloadLength, PayloadForbidden, BadValue, BadCRC, BadBlock, Truncated, OutOfPlace:
	}
	return false
}

func (f Fault) String() string {
	switch f {
	case BadMagic:
		return "not a frame of ours, it begins with"
	case WrongVersion:
		return "version"
	case UnknownKind:
		return "unknown kind"
	case UnknownStatus:
		return "unknown status"
	case UnknownFlag:
		return "unknown flags"
	case UnknownField:
		return "unknown fields"
	case ExtensionTooLong:
		return "length of the extension"
	case ExtensionShort:
		return "extension ends within a group, length"
	case ExtensionSurplus:
		return "bytes after the extension's last group"
	case PayloadTooLong:
		return "length of the payload"
	case PayloadLength:
		return "length of the payload"
	case PayloadForbidden:
		return "a kind without payload has one of length"
	case TooManyChanges:
		return "number of changes"
	case TooManyChecksums:
		return "number of checksums"
	case BadValue:
		return "value outside its range"
	case BadCRC:
		return "header or extension damaged, crc"
	case BadBlock:
		return "payload does not match its checksum in block"
	case Truncated:
		return "the connection ended within the frame, bytes of this part:"
	case OutOfPlace:
		return "out of place, kind"
	}
	return fmt.Sprintf("fault %d", uint8(f))
}
