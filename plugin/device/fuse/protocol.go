package fuse

import (
	"encoding/binary"
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
)

// The FUSE wire protocol as far as one file needs it. Everything is in the
// machine's byte order; offsets are those of the structures in linux/fuse.h.

// opcode names a request of the kernel.
type opcode uint32

const (
	opForget      opcode = 2
	opGetattr     opcode = 3
	opOpen        opcode = 14
	opRead        opcode = 15
	opWrite       opcode = 16
	opStatfs      opcode = 17
	opRelease     opcode = 18
	opFsync       opcode = 20
	opInit        opcode = 26
	opInterrupt   opcode = 36
	opDestroy     opcode = 38
	opBatchForget opcode = 42
	opFallocate   opcode = 43
)

const (
	protocolMajor = 7
	// protocolMinorMin has the 64-byte INIT reply with max_pages; Linux 4.20.
	protocolMinorMin = 28

	// Flags of INIT.
	initAsyncRead = 1 << 0
	initBigWrites = 1 << 5
	initAsyncDIO  = 1 << 15 // without it a third of the throughput
	initMaxPages  = 1 << 22
	initWanted    = initAsyncRead | initBigWrites | initAsyncDIO | initMaxPages
	initExtended  = 1 << 30 // there is a second word of flags
	// initHasResend, of the second word: what was read and not answered can be
	// asked for again, by another process; Linux 6.9.
	initHasResend = 1 << (39 - 32)

	// Flags of OPEN.
	openDirectIO             = 1 << 0
	openParallelDirectWrites = 1 << 6

	notifyInvalInode = 2 // the codes in the error field of a message of ours
	notifyResend     = 7

	// askedAgain is set in the numbers of requests that were read before, and not
	// answered.
	askedAgain = 1 << 63

	// rootNode is the number of the file system's root, which is our file.
	rootNode = 1

	headerBytes = 40 // fuse_in_header
	// requestBytes is a header and the arguments of READ or WRITE: what comes
	// before a payload.
	requestBytes = headerBytes + 40
	replyBytes   = 16 // fuse_out_header

	// transferBytesMax is the most that one READ or WRITE carries. The loop
	// device's largest request is set to the same, so that the kernel never
	// cuts a request at a boundary that is not a block's. Larger transfers
	// gain nothing below a chunk of 64 KiB.
	transferBytesMax = 256 << 10
	// transferPagesMax is how many pages one transfer may touch: a buffer of
	// 64 pages that is not aligned, in up to 128 pieces (the segments of a
	// loop request), touches more than its 64.
	transferPagesMax = 256
	// backgroundMax is how many direct requests the kernel keeps in flight;
	// the default of 12 costs a quarter of the throughput.
	backgroundMax = 256
)

// header is the start of every request.
type header struct {
	length uint32
	opcode opcode
	unique uint64
}

func parseHeader(b []byte) header {
	return header{
		length: binary.NativeEndian.Uint32(b[0:]),
		opcode: opcode(binary.NativeEndian.Uint32(b[4:])),
		unique: binary.NativeEndian.Uint64(b[8:]),
	}
}

// extent is what READ, WRITE and FALLOCATE say about bytes of the file.
type extent struct{ offset, length int64 }

// parseTransfer reads the arguments of READ and WRITE, which agree in these.
func parseTransfer(b []byte) extent {
	return extent{
		offset: int64(binary.NativeEndian.Uint64(b[headerBytes+8:])),
		length: int64(binary.NativeEndian.Uint32(b[headerBytes+16:])),
	}
}

// parseFallocate reads the arguments of FALLOCATE.
func parseFallocate(b []byte) (e extent, mode uint32) {
	e.offset = int64(binary.NativeEndian.Uint64(b[headerBytes+8:]))
	e.length = int64(binary.NativeEndian.Uint64(b[headerBytes+16:]))
	return e, binary.NativeEndian.Uint32(b[headerBytes+24:])
}

// valid reports whether e is made of whole blocks within size bytes.
func (e extent) valid(size int64) bool {
	return e.offset >= 0 && e.length > 0 && e.offset <= size && e.length <= size-e.offset &&
		e.offset%block.Size == 0 && e.length%block.Size == 0
}

// negotiate answers INIT or says why this kernel cannot be served.
func negotiate(request []byte) (out []byte, resends bool, err error) {
	in := request[headerBytes:]
	major, minor := binary.NativeEndian.Uint32(in[0:]), binary.NativeEndian.Uint32(in[4:])
	readahead, offered := binary.NativeEndian.Uint32(in[8:]), binary.NativeEndian.Uint32(in[12:])
	if major != protocolMajor || minor < protocolMinorMin || offered&initWanted != initWanted {
		return nil, false, fmt.Errorf("the kernel speaks FUSE %d.%d with flags %#x, needed is %d.%d with %#x: run a newer kernel",
			major, minor, offered, protocolMajor, protocolMinorMin, initWanted)
	}
	out = make([]byte, 64)
	binary.NativeEndian.PutUint32(out[0:], protocolMajor)
	binary.NativeEndian.PutUint32(out[4:], minor)
	binary.NativeEndian.PutUint32(out[8:], readahead)
	binary.NativeEndian.PutUint32(out[12:], initWanted)
	binary.NativeEndian.PutUint16(out[16:], backgroundMax)
	binary.NativeEndian.PutUint16(out[18:], backgroundMax*3/4)
	binary.NativeEndian.PutUint32(out[20:], transferBytesMax)
	binary.NativeEndian.PutUint32(out[24:], 1) // time granularity, ns
	binary.NativeEndian.PutUint16(out[28:], transferPagesMax)
	if offered&initExtended != 0 && len(in) >= 20 && binary.NativeEndian.Uint32(in[16:])&initHasResend != 0 {
		binary.NativeEndian.PutUint32(out[12:], initWanted|initExtended)
		binary.NativeEndian.PutUint32(out[32:], initHasResend)
		resends = true
	}
	return out, resends, nil
}

// attributes answers GETATTR.
func attributes(size int64) []byte {
	out := make([]byte, 104)
	binary.NativeEndian.PutUint64(out[0:], 1<<20) // seconds that the kernel may keep this
	a := out[16:]
	binary.NativeEndian.PutUint64(a[0:], rootNode)
	binary.NativeEndian.PutUint64(a[8:], uint64(size))
	binary.NativeEndian.PutUint64(a[16:], uint64(size)/512)
	binary.NativeEndian.PutUint32(a[60:], fileMode)
	binary.NativeEndian.PutUint32(a[64:], 1) // links
	binary.NativeEndian.PutUint32(a[80:], block.Size)
	return out
}

// opened answers OPEN.
func opened() []byte {
	out := make([]byte, 16)
	binary.NativeEndian.PutUint32(out[8:], openDirectIO|openParallelDirectWrites)
	return out
}

// statistics answers STATFS. The loop device takes its discard granularity from
// the block size in it.
func statistics() []byte {
	out := make([]byte, 80)
	binary.NativeEndian.PutUint32(out[40:], block.Size)
	binary.NativeEndian.PutUint32(out[44:], 255) // longest name
	binary.NativeEndian.PutUint32(out[48:], block.Size)
	return out
}

// invalidation is the message that makes the kernel ask for the attributes (and
// so the size) of our file again.
func invalidation() []byte {
	out := make([]byte, replyBytes+24)
	binary.NativeEndian.PutUint32(out[0:], uint32(len(out)))
	binary.NativeEndian.PutUint32(out[4:], notifyInvalInode)
	binary.NativeEndian.PutUint64(out[replyBytes:], rootNode)
	binary.NativeEndian.PutUint64(out[replyBytes+8:], ^uint64(0)) // offset -1: attributes only
	return out
}

// resending is the message that makes the kernel ask again, and first, for all that
// was read and not answered.
func resending() []byte {
	out := make([]byte, replyBytes)
	binary.NativeEndian.PutUint32(out[0:], uint32(len(out)))
	binary.NativeEndian.PutUint32(out[4:], notifyResend)
	return out
}

// putReply writes the header of a reply with length bytes after it.
func putReply(b []byte, unique uint64, errno, length int) {
	binary.NativeEndian.PutUint32(b[0:], uint32(replyBytes+length))
	binary.NativeEndian.PutUint32(b[4:], uint32(int32(-errno)))
	binary.NativeEndian.PutUint64(b[8:], unique)
}
