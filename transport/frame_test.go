package transport

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

// TestFramesOfEveryKindHaveTheirGoldenBytes pins the wire format: nodes of one
// version meet in the middle of an upgrade of the binary.
func TestFramesOfEveryKindHaveTheirGoldenBytes(t *testing.T) {
	var got strings.Builder
	for k := message.KindInvalid + 1; k < message.KindCount; k++ {
		m := sample(k)
		b, err := Append(nil, &m)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%s, then %d bytes of payload\n%s\n", kindName[k], m.Payload.Len(), hex.Dump(b))
	}
	hello := sampleHello()
	fmt.Fprintf(&got, "hello\n%s\n", hex.Dump(AppendHello(nil, &hello)))
	fmt.Fprintf(&got, "welcome\n%s\n", hex.Dump(AppendWelcome(nil, Welcome{Version: 1, Node: block.NodeID{1}})))
	fmt.Fprintf(&got, "denied\n%s\n", hex.Dump(AppendDenied(nil, &DeniedError{Version: 2, Reason: "no"})))
	const file = "testdata/frames.golden"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("frames changed; if Version was raised for it: go test ./transport -rewrite\n%s", firstDifference(got.String(), string(want)))
	}
}

func firstDifference(got, want string) string {
	w := strings.Split(want, "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(w) || line != w[i] {
			return fmt.Sprintf("line %d: got  %s", i+1, line)
		}
	}
	return "the golden file has more"
}

func equal(t *testing.T, got, want *message.Message) {
	t.Helper()
	if !bytes.Equal(got.Payload.Bytes(), want.Payload.Bytes()) {
		t.Fatalf("%s: payload of %d bytes differs from the %d sent", kindName[want.Kind], got.Payload.Len(), want.Payload.Len())
	}
	g, w := *got, *want
	g.Payload, w.Payload = block.Buffer{}, block.Buffer{}
	if !reflect.DeepEqual(g, w) {
		t.Fatalf("%s: got\n%+v\nwant\n%+v", kindName[want.Kind], g, w)
	}
}

func TestMessagesSurviveTheWireWhole(t *testing.T) {
	const seed, rounds, perStream = 7, 200, 20
	r := rand.New(rand.NewPCG(seed, 0))
	seen := [message.KindCount]int{}
	for range rounds {
		var sent []message.Message
		var stream []byte
		for range perStream {
			m := random(r)
			seen[m.Kind]++
			sent = append(sent, m)
			stream = append(stream, frame(t, &m)...)
		}
		reader := NewReader(bytes.NewReader(stream), block.Heap{}, block.Size)
		var got message.Message
		for i := range sent {
			if err := reader.Next(&got); err != nil {
				t.Fatalf("%s: %v", kindName[sent[i].Kind], err)
			}
			equal(t, &got, &sent[i])
		}
		if err := reader.Next(&got); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last message: %v, want EOF", err)
		}
	}
	for k := message.KindInvalid + 1; k < message.KindCount; k++ {
		if seen[k] == 0 {
			t.Errorf("no message of kind %s was tried", kindName[k])
		}
	}
}

// resign makes the crc of b's frame right again.
func resign(b []byte) []byte {
	le := binary.LittleEndian
	extension := min(int(le.Uint32(b[offExtension:])), len(b)-HeaderSize)
	le.PutUint32(b[offCRC:], uint32(frameCRC((*[HeaderSize]byte)(b), b[HeaderSize:HeaderSize+extension])))
	return b
}

func TestReaderNamesWhatIsWrongWithAFrame(t *testing.T) {
	le := binary.LittleEndian
	set := func(k message.Kind, change func(b []byte) []byte) []byte {
		m := sample(k)
		return change(frame(t, &m))
	}
	put := func(k message.Kind, at int, v uint32) []byte {
		return set(k, func(b []byte) []byte { le.PutUint32(b[at:], v); return resign(b) })
	}
	put8 := func(k message.Kind, at int, v byte) []byte {
		return set(k, func(b []byte) []byte { b[at] = v; return resign(b) })
	}
	cut := func(k message.Kind, length int) []byte {
		return set(k, func(b []byte) []byte { return b[:length] })
	}
	const recordOp, recordFUA, recordFirst, recordCount = HeaderSize + 16, HeaderSize + 17, HeaderSize + 18, HeaderSize + 26
	for _, c := range []struct {
		name  string
		frame []byte
		want  Fault
	}{
		{"foreign bytes", []byte("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: a browser, lost\r\nAccept: */*\r\n\r\n"), BadMagic},
		{"other version", put8(message.Sync, offVersion, 2), WrongVersion},
		{"kind zero", put8(message.Sync, offKind, 0), UnknownKind},
		{"kind unknown", put8(message.Sync, offKind, uint8(message.KindCount)), UnknownKind},
		{"handshake later", put8(message.Sync, offKind, uint8(helloKind)), OutOfPlace},
		{"status unknown", put8(message.Done, offStatus, uint8(message.StatusCount)), UnknownStatus},
		{"reserved byte", put8(message.Done, offZero, 1), UnknownFlag},
		{"group unknown", put(message.Done, offFields, 1<<groupCount), UnknownField},
		{"extension huge", put(message.Done, offExtension, 1<<31), ExtensionTooLong},
		{"extension a byte too long", put(message.Done, offExtension, extensionMax+1), ExtensionTooLong},
		{"extension missing", put(message.Done, offFields, 1), ExtensionShort},
		{"extension with more", put(message.Read, offFields, 0), ExtensionSurplus},
		{"payload huge", put(message.Data, offPayload, 1<<31), PayloadTooLong},
		{"payload a byte too long", put(message.Data, offPayload, block.PerChunk*block.Size+1), PayloadTooLong},
		{"payload of an ack", put(message.Ack, offPayload, 1), PayloadForbidden},
		{"payload shorter than the range", put(message.Append, offPayload, block.Size), PayloadLength},
		{"payload of a read longer than the range", put(message.Data, offPayload, 2*block.Size), PayloadLength},
		{"payload of a chunk without its last block", put(message.Push, offPayload, 2*block.Size), PayloadLength},
		{"payload of a chunk not in blocks", put(message.Pulled, offPayload, 3*block.Size+1), PayloadLength},
		{"record without operation", put8(message.Append, recordOp, 0), BadValue},
		{"record of unknown operation", put8(message.Append, recordOp, uint8(message.OpCount)), BadValue},
		{"record with unknown flag", put8(message.Append, recordFUA, 2), UnknownFlag},
		{"record over two chunks", put8(message.Append, recordFirst, 15), BadValue},
		{"range past the end of numbers", set(message.Read, func(b []byte) []byte {
			le.PutUint64(b[HeaderSize:], 1<<64-2)
			return resign(b)
		}), BadValue},
		{"range of a write of 4 billion blocks", put(message.Append, recordCount, 1<<32-1), BadValue},
		{"duration negative", put8(message.Grant, HeaderSize+7, 0x80), BadValue},
		{"promise with unknown flag", put8(message.Promise, HeaderSize+24, 4), UnknownFlag},
		{"checksums more than blocks", put8(message.Data, HeaderSize+12, block.PerChunk+1), TooManyChecksums},
		{"changes too many", put(message.Changed, HeaderSize+8, ChangesMax+1), TooManyChanges},
		{"changes not there", put(message.Changed, HeaderSize+8, ChangesMax), ExtensionShort},
		{"header damaged", set(message.Ack, func(b []byte) []byte { b[offSeq] ^= 1; return b }), BadCRC},
		{"extension damaged", set(message.Ack, func(b []byte) []byte { b[HeaderSize] ^= 1; return b }), BadCRC},
		{"payload of a repair damaged", set(message.Repair, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), BadCRC},
		{"payload of a write damaged", set(message.Append, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), BadBlock},
		{"payload of a read damaged", set(message.Data, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), BadBlock},
		{"payload of a chunk damaged", set(message.Push, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), BadBlock},
		{"cut in the header", cut(message.Ack, HeaderSize-1), Truncated},
		{"cut in the extension", cut(message.Ack, HeaderSize+3), Truncated},
		{"cut before the extension", cut(message.Ack, HeaderSize), Truncated},
		{"cut in the payload", cut(message.Append, 3000), Truncated},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m message.Message
			pool := &countingPool{}
			err := NewReader(bytes.NewReader(c.frame), pool, block.Size).Next(&m)
			var fault *FrameError
			if !errors.As(err, &fault) || fault.Fault != c.want {
				t.Fatalf("got error %v, want fault %q", err, c.want)
			}
			if pool.out != 0 {
				t.Errorf("%d buffers were kept", pool.out)
			}
			t.Log(err)
		})
	}
}

// countingPool counts the buffers that are out.
type countingPool struct{ out int }

func (p *countingPool) Get(length int) block.Buffer {
	p.out++
	return block.NewSlab(make([]byte, length), func(*block.Slab) { p.out-- }).Buffer(length)
}

func TestDamageOfBlocksThatAreNotPresentIsNoFault(t *testing.T) {
	m := sample(message.Push)
	b := frame(t, &m)
	b[len(b)-2*block.Size] ^= 1 // block 1 of 0b101
	var got message.Message
	if err := NewReader(bytes.NewReader(b), block.Heap{}, block.Size).Next(&got); err != nil {
		t.Fatal(err)
	}
}

func TestAppendRefusesWhatNoPeerWouldTake(t *testing.T) {
	for name, m := range map[string]message.Message{
		"no kind":      {},
		"unknown kind": {Kind: message.KindCount},
		"status":       {Kind: message.Done, Status: message.StatusCount},
		"changes":      {Kind: message.Changed, Changes: make([]message.Change, ChangesMax+1)},
		"payload":      {Kind: message.Ack, Payload: pattern(1)},
		"long payload": {Kind: message.Data, Payload: pattern(block.PerChunk*block.Size + 1)},
		"duration":     {Kind: message.Grant, Duration: -1},
	} {
		var fault *FrameError
		if b, err := Append([]byte("kept"), &m); !errors.As(err, &fault) || string(b) != "kept" {
			t.Errorf("%s: got %q and error %v, want a FrameError", name, b, err)
		}
	}
}

func TestTheLargestMessagesFit(t *testing.T) {
	m := sample(message.Changed)
	m.Changes = make([]message.Change, ChangesMax)
	m.Promise, m.Record = sample(message.Promise).Promise, sample(message.Append).Record
	for i := range m.Checksums {
		m.Checksums[i], m.Record.Checksums[i] = 1, 1
	}
	m.Until, m.Accepted, m.Credit, m.Duration, m.Position = 1, 1, 1, 1, block.Position{Era: 1}
	m.Range, m.Chunk, m.LastSeq, m.Since, m.Resync, m.Present = block.Range{Count: 1}, 1, 1, 1, 1, 1
	var got message.Message
	if err := NewReader(bytes.NewReader(frame(t, &m)), block.Heap{}, block.Size).Next(&got); err != nil {
		t.Fatal(err)
	}
	equal(t, &got, &m)
}

func TestSteadyStateOfTheCodecAllocatesNothing(t *testing.T) {
	slab := block.NewSlab(make([]byte, block.PerChunk*block.Size), nil)
	for _, k := range []message.Kind{message.Append, message.Ack, message.Sync, message.Read, message.Data, message.Grant, message.Granted} {
		m := sample(k)
		stream := bytes.NewReader(frame(t, &m))
		reader := NewReader(stream, onePool{slab}, block.Size)
		dst := make([]byte, 0, 1024)
		var got message.Message
		allocs := testing.AllocsPerRun(100, func() {
			dst, _ = Append(dst[:0], &m)
			_, _ = stream.Seek(0, io.SeekStart)
			if err := reader.Next(&got); err != nil {
				t.Error(err)
			}
			got.Payload.Release()
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations a message, want 0", kindName[k], allocs)
		}
	}
}

type onePool struct{ slab *block.Slab }

func (p onePool) Get(length int) block.Buffer { return p.slab.Buffer(length) }
