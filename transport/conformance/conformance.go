// Package conformance tests what every transport.Transport promises, on
// networks of two or three nodes. Each implementation's tests call Run.
package conformance

import (
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/transport"
)

// Network makes the nodes of one test.
type Network interface {
	// Start runs a node's transport, with block.Size bytes a block, until the
	// test ends.
	Start(t *testing.T, node block.NodeID, acceptor transport.Acceptor) transport.Transport
	// Stop ends a node as the end of its process would: whoever dials it
	// afterwards is told that nobody listens. It returns when the node's
	// handlers have heard of it.
	Stop(t *testing.T, node block.NodeID)
}

// Run tests the implementation that open makes networks of.
func Run(t *testing.T, open func(t *testing.T) Network) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, n Network)
	}{
		{"DialReachesTheAcceptorWithItsHello", dialReachesTheAcceptor},
		{"MessagesArriveWholeAndInOrder", messagesArrive},
		{"AnswersTravelBack", answersTravelBack},
		{"SendersOnManyGoroutinesKeepTheirOrder", sendersKeepTheirOrder},
		{"OneFlushWritesWhatOthersQueued", oneFlushWritesAll},
		{"SendBeforeConnectedWaitsForIt", sendBeforeConnected},
		{"SendWithinAcceptFollowsTheWelcome", sendWithinAccept},
		{"DeniedDialSaysSo", deniedDial},
		{"OtherVersionIsDenied", otherVersion},
		{"DialToAStoppedNodeIsRefused", dialToAStoppedNode},
		{"CloseReachesBothSidesOnce", closeReachesBothSides},
		{"CloseDuringTheDialEndsIt", closeDuringTheDial},
		{"CloseWithinAHandlerWorks", closeWithinAHandler},
		{"EndOfANodeReachesItsPeers", endOfANode},
		{"EveryPayloadIsReleasedInTheEnd", payloadsAreReleased},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func node(i byte) block.NodeID { return block.NodeID{i, 15: i} }

func hello(from block.NodeID) message.Hello {
	return message.Hello{
		Version: message.Version, Node: from, Volume: block.VolumeID{1}, Disk: block.DiskID{2},
		Replica: block.ReplicaID{3}, Session: 4, Number: 5, Purpose: message.Bulk,
	}
}

// write returns an APPEND of blocks blocks with seq.
func write(seq block.Seq, data block.Buffer) message.Message {
	r := block.Range{First: block.Block(seq) * block.PerChunk, Count: uint32(data.Len() / block.Size)}
	return message.Message{Kind: message.Append, Era: 1, Seq: seq, Payload: data, Record: message.Record{
		Position: block.Position{Era: 1, Seq: seq}, Op: message.OpWrite, Range: r,
		Checksums: block.ChecksumsOf(data.Bytes(), block.Size),
	}}
}

// content returns the data of write seq, as a reference to memory that calls
// freed when it goes.
func content(seq block.Seq, freed func()) block.Buffer {
	blocks := 1 + int(seq%block.PerChunk)
	b := block.NewSlab(make([]byte, blocks*block.Size), func(*block.Slab) { freed() }).Buffer(blocks * block.Size)
	for i := range b.Bytes() {
		b.Bytes()[i] = byte(int(seq) + i>>5)
	}
	return b
}
