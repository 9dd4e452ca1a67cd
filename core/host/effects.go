package host

import (
	"context"
	"log/slog"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/transport"
)

// effects is what one delivery collects: the machine's effects and the
// connections that were written to. They are reused.
type effects struct {
	step.Effects
	event   step.Event       // for deliverAll
	remote  []transport.Conn // to be flushed first: the other node works meanwhile
	local   []transport.Conn // whose flush does the other end's work on this goroutine
	stopped bool             // the machine was stopped by a broken invariant
}

// due notes that a connection is to be flushed.
func (e *effects) due(c transport.Conn) {
	list := &e.remote
	if _, local := c.(*localConn); local {
		list = &e.local
	}
	if n := len(*list); n == 0 || (*list)[n-1] != c {
		*list = append(*list, c)
	}
}

func (e *effects) reset() {
	e.Reset()
	clear(e.remote)
	clear(e.local)
	e.remote, e.local, e.stopped = e.remote[:0], e.local[:0], false
	e.event = step.Event{}
}

// perform carries out what needs no order among the steps of a shard, without
// its lock.
func (h *Host) perform(s *shard, out *effects) {
	if s.disk != nil {
		s.disk.Submit(out.Disk)
	}
	for i := range out.Events {
		h.logEvent(&out.Events[i])
	}
	h.timers.add(s, out.Timers)
	for i := range out.Transactions {
		h.transact(s, out.Transactions[i])
	}
	if v := s.volume; v != nil {
		v.complete(out.Completions)
	}
	for i := range out.Answers {
		h.answers.settle(out.Answers[i])
	}
	h.controls.pass(out.Controls)
	if out.stopped && s.volume != nil {
		s.volume.fail("an internal check failed: see the log of this node")
	}
}

// transact performs one metadata transaction in the background.
func (h *Host) transact(s *shard, t step.Transaction) {
	h.running.Go(func() {
		ctx, cancel := context.WithTimeout(h.life, transactionTimeout)
		defer cancel()
		ev := step.Event{Kind: step.EventTransaction, Tag: t.Tag, Result: h.params.Metadata.Do(ctx, t.Txn)}
		s.deliver(&ev, nil)
	})
}

// handOn brings one control to whom it is for.
func (h *Host) handOn(c *step.Control) {
	h.note(c)
	for _, target := range node.Targets(c) {
		switch target {
		case node.ToBody:
			h.onControl(c)
		case node.ToOrchestrator:
			h.tell(h.orchestrator, c)
		case node.ToDisk:
			h.tell(h.diskShard(c.Disk), c)
		case node.ToCoordinator:
			h.tell(h.volumeShard(c.Volume), c)
		}
	}
}

// note logs what becomes of disks: nobody else says it where a person looks.
func (h *Host) note(c *step.Control) {
	switch c.Kind {
	case step.DiskReady:
		h.log.Info("disk serves", slog.String("disk", h.diskPath(c.Disk)),
			slog.Int64("capacity_bytes", c.Capacity), slog.Int64("free_bytes", c.Free))
		h.scrubs.ready(c.Disk)
	case step.DiskUnusable:
		h.log.Error("disk does not serve, the others of this node do",
			slog.String("disk", h.diskPath(c.Disk)), slog.String("reason", c.Text))
	default:
		// said elsewhere, or no news
	}
}

// diskPath is what people call a disk of this node.
func (h *Host) diskPath(id block.DiskID) string {
	for _, d := range h.OwnDisks() {
		if d.ID == id {
			return d.Path
		}
	}
	for _, d := range h.params.Unusable {
		if d.ID == id && d.Path != "" {
			return d.Path
		}
	}
	return id.String()
}

func (h *Host) tell(s *shard, c *step.Control) {
	if s != nil {
		s.deliver(&step.Event{Kind: step.EventControl, Control: *c}, nil)
	}
}

// dial opens the connection that a coordinator asks for: inside this node, or
// through the transport.
func (h *Host) dial(s *shard, d *step.Dial) transport.Conn {
	if d.Node == h.params.Node.ID {
		return h.dialLocal(s, d)
	}
	return h.params.Transport.Dial(h.life, d.Node, d.Hello, &link{shard: s, id: d.Conn})
}

func (h *Host) diskShard(id block.DiskID) *shard {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.disks[id]
}

func (h *Host) volumeShard(id block.VolumeID) *shard {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v := h.volumes[id]; v != nil {
		return v.shard
	}
	return nil
}
