package transport

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

func sampleHello() message.Hello {
	return message.Hello{
		Version: 0x0101, Node: block.NodeID{2}, Volume: block.VolumeID{3}, Disk: block.DiskID{4},
		Replica: block.ReplicaID{5}, Session: 0x0606, Number: 0x0707, Purpose: message.Bulk,
	}
}

func TestHandshakeFramesSurviveTheWire(t *testing.T) {
	want := sampleHello()
	if got, err := ReadHello(bytes.NewReader(AppendHello(nil, &want))); err != nil || got != want {
		t.Errorf("hello: got %+v, error %v, want %+v", got, err, want)
	}
	welcome := Welcome{Version: 7, Node: block.NodeID{8}}
	if got, err := ReadWelcome(bytes.NewReader(AppendWelcome(nil, welcome))); err != nil || got != welcome {
		t.Errorf("welcome: got %+v, error %v, want %+v", got, err, welcome)
	}
	_, err := ReadWelcome(bytes.NewReader(AppendDenied(nil, &DeniedError{Version: 9, Reason: strings.Repeat("x", 2*reasonMax)})))
	var denied *DeniedError
	if !errors.As(err, &denied) || denied.Version != 9 || len(denied.Reason) != reasonMax {
		t.Errorf("denied: got error %v, want version 9 and the first %d bytes of the reason", err, reasonMax)
	}
}

func TestHandshakeReadsNotAByteMore(t *testing.T) {
	hello := sampleHello()
	src := bytes.NewReader(append(AppendHello(nil, &hello), "rest"...))
	if _, err := ReadHello(src); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(src); string(rest) != "rest" {
		t.Errorf("%q is left, want %q", rest, "rest")
	}
}

func TestHandshakeRefusesWhatIsNone(t *testing.T) {
	hello, ack := sampleHello(), sample(message.Ack)
	greeting := AppendHello(nil, &hello)
	change := func(at int, v byte) []byte {
		b := bytes.Clone(greeting)
		b[at] = v
		return b
	}
	for name, c := range map[string]struct {
		frame []byte
		want  Fault
	}{
		"a message first": {frame(t, &ack), OutOfPlace},
		"a welcome":       {AppendWelcome(nil, Welcome{}), OutOfPlace},
		"foreign bytes":   {change(0, 'x'), BadMagic},
		"another layout":  {change(offVersion, 2), WrongVersion},
		"a long one":      {change(offExtension+3, 1), ExtensionTooLong},
		"a damaged one":   {change(HeaderSize, 7), BadCRC},
		"a purpose of no meaning": {AppendHello(nil, func() *message.Hello {
			h := hello
			h.Purpose = message.Bulk + 1
			return &h
		}()), BadValue},
		"a cut header":    {greeting[:10], Truncated},
		"a cut extension": {greeting[:HeaderSize], Truncated},
	} {
		_, err := ReadHello(bytes.NewReader(c.frame))
		var fault *FrameError
		if !errors.As(err, &fault) || fault.Fault != c.want {
			t.Errorf("%s: got error %v, want fault %q", name, err, c.want)
		}
	}
	if _, err := ReadHello(bytes.NewReader(nil)); !errors.Is(err, io.EOF) {
		t.Errorf("nothing: got error %v, want EOF", err)
	}
}
