package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/linearizability"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/rest/client"
)

const (
	recordedClients = 4
	recordedBlocks  = 64 // few, so that clients meet
	// answerWithin is how long a client waits for an answer before it calls it unknown.
	answerWithin = 20 * time.Second
)

// recorder has clients use a volume wherever it is attached, and keeps what they asked
// and were told.
type recorder struct {
	began  time.Time
	volume block.VolumeID

	mu      sync.Mutex // guards what follows
	history *linearizability.History
	at      *cluster.Node // where the volume is attached
	times   int           // it was attached
	open    []unanswered
	acked   [recordedClients]int
}

// unanswered is an operation of unknown outcome, until another node has the volume.
type unanswered struct {
	op    linearizability.Op
	times int
}

func newRecorder(t *testing.T, v api.Volume) *recorder {
	t.Helper()
	id, err := hex.DecodeString(v.ID)
	if err != nil || len(id) != len(block.VolumeID{}) {
		t.Fatalf("the volume's identity is %q", v.ID)
	}
	volume := block.VolumeID(id)
	return &recorder{began: time.Now(), volume: volume, history: linearizability.NewHistory(volume)}
}

func (r *recorder) now() int64 { return time.Since(r.began).Nanoseconds() }

// holder returns the name of the node that has the volume.
func (r *recorder) holder() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		return ""
	}
	return r.at.Name
}

// moved notes that a node has the volume now: what others left undecided is decided.
func (r *recorder) moved(to *cluster.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = to
	r.times++
	for _, u := range r.open {
		r.history.Fence(r.now(), u.op)
	}
	r.open = nil
}

func (r *recorder) fault(from int64, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Fault(from, r.now(), what)
}

// answered returns how many operations of each client succeeded so far.
func (r *recorder) answered() [recordedClients]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acked
}

func (r *recorder) save(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.history.Save(w)
}

// work has the clients begin; they end with ctx.
func (r *recorder) work(ctx context.Context, working *sync.WaitGroup) {
	for i := range recordedClients {
		working.Go(func() { r.client(ctx, i) })
	}
}

func (r *recorder) client(ctx context.Context, number int) {
	random := rand.New(rand.NewPCG(uint64(number), 1))
	for seq := uint64(1); ctx.Err() == nil; seq++ {
		blocks := block.Range{First: block.Block(random.IntN(recordedBlocks - 4)), Count: uint32(1 + random.IntN(4))}
		if random.IntN(2) == 0 {
			r.write(number, seq, blocks)
		} else {
			r.read(number, blocks)
		}
		_ = pause(ctx, time.Duration(random.IntN(20))*time.Millisecond) // the loop looks at ctx
	}
}

func (r *recorder) write(number int, seq uint64, blocks block.Range) {
	data := make([]byte, int(blocks.Count)*block.Size)
	values := make([]uint64, blocks.Count)
	for i := range values {
		stamp := linearizability.Stamp{Volume: r.volume, Block: blocks.First + block.Block(i), Writer: uint16(number), Seq: seq}
		stamp.Encode(data[i*block.Size : (i+1)*block.Size])
		values[i] = stamp.Value()
	}
	r.operate(number, linearizability.Write, blocks, values, func(ctx context.Context, node *client.Client) ([]byte, error) {
		_, err := node.WriteBlocks(ctx, "blocks", int64(blocks.First)*block.Size, bytes.NewReader(data))
		return nil, err
	})
}

func (r *recorder) read(number int, blocks block.Range) {
	r.operate(number, linearizability.Read, blocks, nil, func(ctx context.Context, node *client.Client) ([]byte, error) {
		var data bytes.Buffer
		err := node.ReadBlocks(ctx, "blocks", int64(blocks.First)*block.Size, int64(blocks.Count)*block.Size, &data)
		if want := int(blocks.Count) * block.Size; err == nil && data.Len() != want {
			err = fmt.Errorf("%d bytes came, want %d", data.Len(), want)
		}
		return data.Bytes(), err
	})
}

// operate asks the node that has the volume. The call is noted before the request
// leaves, the return after the answer came.
func (r *recorder) operate(number int, kind linearizability.Kind, blocks block.Range, values []uint64, ask func(context.Context, *client.Client) ([]byte, error)) {
	r.mu.Lock()
	node, u := r.at.Client(), unanswered{times: r.times}
	u.op = r.history.Call(r.now(), number, kind, blocks, values...)
	r.mu.Unlock()
	defer node.Close()
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	data, err := ask(ctx, node)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil && u.times < r.times:
		r.history.Fence(r.now(), u.op)
	case err != nil:
		r.open = append(r.open, u)
	case kind == linearizability.Read:
		r.history.ReturnData(r.now(), u.op, data)
		r.acked[number]++
	default:
		r.history.Return(r.now(), u.op)
		r.acked[number]++
	}
}
