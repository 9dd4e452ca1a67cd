// Package parts isolates what one write passes through, so that the sum can
// explain the whole: the checksum, the codec of frames, a coordinator's steps
// with members that answer at once, the journal of a store on a real disk, the
// transport on loopback. Every part is one function to call again and again. The
// suite and the Go benchmarks (package bench) do that.
package parts

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
)

// Params is what parts are opened with.
type Params struct {
	Dir   string // for files that Close removes
	Pool  block.Pool
	Clock func() step.Time
	Now   time.Time // of certificates
	Log   *slog.Logger
}

// Part is one part of a write.
type Part struct {
	Name string
	Ops  int  // operations that one call stands for
	Fast bool // it takes less than reading the clock: measure many calls at once
	Open func(ctx context.Context, p Params) (*Opened, error)
}

// Opened is a part at work.
type Opened struct {
	One   func() error
	Close func() error
}

// All returns the parts in the order in which a write meets them.
func All() []Part {
	list := []Part{
		{"wake-up", 2, false, openWakeUp},
		{"checksum-4k", 1, true, openChecksum},
		{"codec/encode-4k-write", 1, true, openEncode},
		{"codec/decode-4k-write", 1, true, openDecode},
	}
	for _, copies := range []int{1, 2, 3} {
		list = append(list, coordinatorPart(copies))
	}
	return append(list,
		Part{"transport-4k-qd1/plain", 1, false, openTransport(false)},
		Part{"transport-4k-qd1/tls", 1, false, openTransport(true)},
		journalPart(1),
		journalPart(32),
	)
}

func nothing() error { return nil }

// openWakeUp hands a token to another goroutine and waits for it to come back:
// two wake-ups of a goroutine that waits.
func openWakeUp(context.Context, Params) (*Opened, error) {
	forth, back := make(chan struct{}), make(chan struct{})
	go func() {
		for range forth {
			back <- struct{}{}
		}
	}()
	return &Opened{
		One:   func() error { forth <- struct{}{}; <-back; return nil },
		Close: func() error { close(forth); return nil },
	}, nil
}

func openChecksum(_ context.Context, p Params) (*Opened, error) {
	data := reference.Noise(p.Pool, block.Size, 1)
	var sum block.Checksum
	return &Opened{
		One:   func() error { sum += block.ChecksumOf(data.Bytes()); return nil },
		Close: func() error { data.Release(); return nil },
	}, nil
}

// write returns the message of a write of one block.
func write(pool block.Pool) message.Message {
	data := reference.Noise(pool, block.Size, 1)
	return message.Message{
		Kind: message.Append, Era: 3, Committed: 11, Stable: 10,
		Record: message.Record{
			Position: block.Position{Era: 3, Seq: 12}, Op: message.OpWrite,
			Range: block.Range{First: 7, Count: 1}, Checksums: block.ChecksumsOf(data.Bytes(), block.Size),
		},
		Payload: data,
	}
}

func openEncode(_ context.Context, p Params) (*Opened, error) {
	m := write(p.Pool)
	var frame []byte
	return &Opened{
		One: func() (err error) {
			frame, err = transport.Append(frame[:0], &m)
			return err
		},
		Close: func() error { m.Payload.Release(); return nil },
	}, nil
}

func openDecode(_ context.Context, p Params) (*Opened, error) {
	m := write(p.Pool)
	defer m.Payload.Release()
	frame, err := transport.Append(nil, &m)
	if err != nil {
		return nil, err
	}
	frame = append(frame, m.Payload.Bytes()...)
	source := bytes.NewReader(frame)
	reader := transport.NewReader(source, p.Pool, block.Size)
	var got message.Message
	return &Opened{
		One: func() error {
			source.Reset(frame)
			err := reader.Next(&got)
			got.Payload.Release()
			return err
		},
		Close: nothing,
	}, nil
}
