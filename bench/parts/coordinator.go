package parts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/coordinator"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

const (
	volumeBlocks = 1 << 18 // 1 GiB
	attached     = metadata.Revision(3)
	// coprime to volumeBlocks: the writes go round the volume without a pattern
	// that is a chunk long.
	stride = 7919
)

var (
	errNotServing  = errors.New("the coordinator does not serve although every member answers")
	errNotAnswered = errors.New("the coordinator did not answer a write")
)

// coordinatorPart steps a coordinator from a request to its completion. Its
// members accept at once: what is measured is the coordinator alone.
func coordinatorPart(copies int) Part {
	return Part{
		Name: fmt.Sprintf("coordinator/write-%d-copies", copies),
		Ops:  1,
		Fast: true,
		Open: func(_ context.Context, p Params) (*Opened, error) {
			s := newStage(p.Pool, copies)
			s.deliver(&step.Event{Kind: step.EventStart})
			if !s.c.Serving() {
				return nil, errNotServing
			}
			data := reference.Noise(p.Pool, block.Size, 1)
			return &Opened{
				One:   func() error { return s.write(data) },
				Close: func() error { data.Release(); return nil },
			}, nil
		},
	}
}

// stage is a coordinator between members and a metadata store that answer at
// once.
type stage struct {
	c        *coordinator.Coordinator
	now      step.Time
	out      step.Effects
	doing    step.Effects // what settle is performing
	event    step.Event
	conns    map[step.Conn]*member
	members  []*member
	config   *volume.Config
	revision metadata.Revision
	requests uint64
	answered uint64
}

type member struct {
	id      block.ReplicaID
	last    block.Seq
	durable block.Seq
}

func newStage(pool block.Pool, copies int) *stage {
	s := &stage{conns: map[step.Conn]*member{}, revision: 7, now: step.Time(time.Hour)}
	s.config = &volume.Config{
		Format: volume.Format, Volume: block.VolumeID{9}, Blocks: volumeBlocks, Epoch: 1,
		CleanAt: &block.Position{}, MinWritable: 1, Recovery: "wait",
	}
	for i := range copies {
		n := byte(i + 1)
		s.members = append(s.members, &member{id: block.ReplicaID{n}})
		s.config.Members = append(s.config.Members, volume.Member{
			Replica: block.ReplicaID{n}, Node: block.NodeID{n}, Disk: block.DiskID{n}, State: volume.InSync,
		})
	}
	s.c = coordinator.New(coordinator.Params{
		Node: block.NodeID{1}, Volume: s.config.Volume, Seed: 1, BlockSize: block.Size, Pool: pool,
		Config: s.config, Revision: s.revision, Attached: attached, Window: coordinator.DefaultWindow(),
	})
	return s
}

func (s *stage) write(data block.Buffer) error {
	s.requests++
	ev := step.Event{Kind: step.EventRequest, Request: step.Request{
		ID: s.requests, Kind: step.WriteRequest, Payload: data.Retain(),
		Range: block.Range{First: block.Block(s.requests * stride % volumeBlocks), Count: 1},
	}}
	s.deliver(&ev)
	if s.answered != s.requests {
		return errNotAnswered
	}
	return nil
}

// deliver steps the coordinator and performs effects until there are none.
func (s *stage) deliver(ev *step.Event) {
	s.c.Step(s.now, ev, &s.out)
	for s.pending() {
		s.doing, s.out = s.out, s.doing
		s.perform(&s.doing)
		s.doing.Reset()
	}
}

func (s *stage) pending() bool {
	e := &s.out
	return len(e.Dials)+len(e.Sends)+len(e.Transactions)+len(e.Completions) > 0
}

func (s *stage) perform(e *step.Effects) {
	for i := range e.Completions {
		s.answered = e.Completions[i].ID
	}
	for i := range e.Dials {
		for _, m := range s.members {
			if m.id == e.Dials[i].Hello.Replica {
				s.conns[e.Dials[i].Conn] = m
				s.tell(step.Event{Kind: step.EventConnected, Conn: e.Dials[i].Conn})
			}
		}
	}
	for i := range e.Sends {
		s.receive(&e.Sends[i])
	}
	for i := range e.Transactions {
		s.transact(&e.Transactions[i])
	}
}

func (s *stage) tell(ev step.Event) {
	s.event = ev
	s.c.Step(s.now, &s.event, &s.out)
}

func (s *stage) receive(send *step.Send) {
	m, asked := s.conns[send.Conn], &send.Message
	defer asked.Payload.Release()
	reply := message.Message{Kind: message.Ack, Accepted: m.last, Durable: m.durable}
	switch asked.Kind {
	case message.Prepare:
		reply = message.Message{Kind: message.Promise, Era: asked.Era, Promise: &message.PromiseInfo{
			Incarnation: 1, BootID: block.BootID{1}, Complete: true,
		}}
	case message.Append:
		m.last = asked.Record.Position.Seq
		reply.Accepted = m.last
	case message.Sync:
		m.durable = m.last
		reply.Durable = m.durable
	case message.Grant:
		reply = message.Message{Kind: message.Granted, Request: asked.Request}
	default: // a fresh volume's coordinator asks nothing else
	}
	s.tell(step.Event{Kind: step.EventMessage, Conn: send.Conn, Message: reply})
}

func (s *stage) transact(t *step.Transaction) {
	if len(t.Txn.Ops) > 0 {
		s.revision++
		if c, err := volume.ParseConfig(t.Txn.Ops[0].Value); err == nil {
			s.config = c
		}
	}
	s.tell(step.Event{Kind: step.EventTransaction, Tag: t.Tag, Result: metadata.Result{
		Outcome: metadata.Applied, Revision: s.revision,
		Items: []metadata.Item{
			{Key: volume.AttachmentKey(s.config.Volume), Revision: attached},
			{Key: volume.ConfigKey(s.config.Volume), Value: s.config.Encode(), Revision: s.revision},
		},
	}})
}
