package tcp

import "time"

// Limits bounds what a connection may take of time and memory. A zero field
// stands for its default.
type Limits struct {
	// Dial bounds an attempt from its begin to the WELCOME. Default 2 s: the
	// time after which a silent node is taken for failed.
	Dial time.Duration
	// Handshake bounds the same on the accepting side. Default 5 s: a slow
	// node under load, not a peer that feeds a byte at a time.
	Handshake time.Duration
	// PendingMax is how many accepted connections may be in their handshake;
	// more are closed at once. Default 256: every node of a large cluster
	// coming back at the same moment.
	PendingMax int
	// QueuedBytesMax is how much may wait for a peer that does not read before
	// its connection is ended. Default 128 MiB: twice what a coordinator keeps
	// unacknowledged, so that its own window always fills first.
	QueuedBytesMax int
}

const (
	dialMax        = 2 * time.Second
	handshakeMax   = 5 * time.Second
	pendingMax     = 256
	queuedBytesMax = 128 << 20

	// readBuffer is what one read of a socket takes at most: some 60 writes of
	// 4 KiB, or 4 of a chunk.
	readBuffer = 256 << 10
	// greetingBuffer is the same during the handshake: strangers get no more.
	greetingBuffer = 4 << 10
	// directMin is the length from which a payload is read past the buffer,
	// without a copy, when the buffer is empty.
	directMin = 16 << 10
	// piecesMax is how many pieces one writev takes (IOV_MAX of Linux).
	piecesMax = 1024
	// record is the most that one TLS record holds.
	record = 16 << 10
	// sealedMax is how much is encrypted before it is written: it bounds the
	// memory that a connection whose peer does not read takes for it.
	sealedMax = 256 << 10
	// turnsMax is how many batches one caller of Flush writes on behalf of the
	// others before it is relieved: they may come faster than it writes.
	turnsMax = 8
	// keptMax is the memory a connection keeps for the headers of a batch.
	keptMax = 1 << 20
	// lingerMax is how much a refused peer may still send until it has read why.
	lingerMax = 64 << 10

	// A peer that does not answer is dropped after about 10 s, whether data is
	// under way or not. Machines notice much earlier by their own heartbeats;
	// this frees what nobody asks about any more.
	keepAliveIdle  = 5 * time.Second
	keepAliveEvery = time.Second
	keepAliveCount = 5
	silenceMax     = 10 * time.Second

	// acceptPause is how long to wait when the process is out of descriptors.
	acceptPause = 50 * time.Millisecond
)

func (l Limits) withDefaults() Limits {
	if l.Dial == 0 {
		l.Dial = dialMax
	}
	if l.Handshake == 0 {
		l.Handshake = handshakeMax
	}
	if l.PendingMax == 0 {
		l.PendingMax = pendingMax
	}
	if l.QueuedBytesMax == 0 {
		l.QueuedBytesMax = queuedBytesMax
	}
	return l
}
