package transport

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// FuzzReader feeds any bytes: what is taken for a message must be sent again as
// the same message, no buffer may be kept, and nothing may panic. The crcs are
// made right, else little would get past them.
func FuzzReader(f *testing.F) {
	for k := message.KindInvalid + 1; k < message.KindCount; k++ {
		m := sample(k)
		f.Add(frame(f, &m))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= HeaderSize && payloadOf(message.Kind(data[offKind])) != byCRC {
			data = resign(bytes.Clone(data))
		}
		pool := &countingPool{}
		reader := NewReader(bytes.NewReader(data), pool, block.Size)
		var m message.Message
		for {
			if err := reader.Next(&m); err != nil {
				var fault *FrameError
				if !errors.Is(err, io.EOF) && !errors.As(err, &fault) {
					t.Fatalf("error %v is neither EOF nor a FrameError", err)
				}
				break
			}
			var again message.Message
			if err := NewReader(bytes.NewReader(frame(t, &m)), block.Heap{}, block.Size).Next(&again); err != nil {
				t.Fatal(err)
			}
			equal(t, &again, &m)
			m.Payload.Release()
		}
		if pool.out != 0 {
			t.Fatalf("%d buffers were kept", pool.out)
		}
	})
}

// FuzzHandshake feeds any bytes to both sides of a handshake.
func FuzzHandshake(f *testing.F) {
	hello := sampleHello()
	f.Add(AppendHello(nil, &hello))
	f.Add(AppendWelcome(nil, Welcome{Version: 1, Node: block.NodeID{1}}))
	f.Add(AppendDenied(nil, &DeniedError{Version: 1, Reason: "no such replica"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= HeaderSize {
			data = resign(bytes.Clone(data))
		}
		if h, err := ReadHello(bytes.NewReader(data)); err == nil {
			if again, err := ReadHello(bytes.NewReader(AppendHello(nil, &h))); err != nil || again != h {
				t.Fatalf("got %+v, error %v, want %+v", again, err, h)
			}
		}
		if w, err := ReadWelcome(bytes.NewReader(data)); err == nil {
			if again, err := ReadWelcome(bytes.NewReader(AppendWelcome(nil, w))); err != nil || again != w {
				t.Fatalf("got %+v, error %v, want %+v", again, err, w)
			}
		}
	})
}
