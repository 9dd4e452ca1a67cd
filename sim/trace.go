package sim

import (
	"fmt"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// traceEvent writes the line of an event.
func (w *World) traceEvent(s *shard, ev *step.Event) {
	text := ""
	switch ev.Kind {
	case step.EventMessage:
		text = fmt.Sprintf("conn %s %s", connText(ev.Conn), messageText(&ev.Message))
	case step.EventAccepted:
		text = fmt.Sprintf("conn %s session %x number %d purpose %d", connText(ev.Conn), ev.Hello.Session, ev.Hello.Number, ev.Hello.Purpose)
	case step.EventConnected:
		text = "conn " + connText(ev.Conn)
	case step.EventClosed:
		text = fmt.Sprintf("conn %s reason %d", connText(ev.Conn), ev.ConnError)
	case step.EventRequest:
		r := &ev.Request
		text = fmt.Sprintf("%d %s %v fua %v", r.ID, requestText(r.Kind), r.Range, r.FUA)
	case step.EventControl:
		text = controlText(&ev.Control)
	case step.EventTransaction:
		text = fmt.Sprintf("slot %d outcome %d revision %d", ev.Tag.Slot, ev.Result.Outcome, ev.Result.Revision)
	case step.EventDiskDone, step.EventTimer:
		text = fmt.Sprintf("owner %d slot %d.%d", ev.Tag.Owner, ev.Tag.Slot, ev.Tag.Generation)
	case step.EventWatch:
		text = fmt.Sprintf("revision %d, %d changes, snapshot %v", ev.Update.Revision, len(ev.Update.Changes), ev.Update.Snapshot)
	default:
	}
	w.linef(s.body, "%-12s ◀ %-11s %s", shardText(s), eventText(ev.Kind), text)
}

// traceEffects writes a line for each effect.
func (w *World) traceEffects(s *shard, out *step.Effects) {
	line := func(format string, values ...any) {
		w.linef(s.body, "%-12s   ▶ %s", shardText(s), fmt.Sprintf(format, values...))
	}
	for i := range out.Dials {
		d := &out.Dials[i]
		line("dial %s node %d session %x number %d purpose %d", connText(d.Conn), d.Node[1], d.Hello.Session, d.Hello.Number, d.Hello.Purpose)
	}
	for i := range out.Sends {
		line("send %s %s", connText(out.Sends[i].Conn), messageText(&out.Sends[i].Message))
	}
	for _, c := range out.Closes {
		line("close %s", connText(c))
	}
	for i := range out.Disk {
		op := &out.Disk[i]
		length := 0
		for _, p := range op.Pieces {
			length += p.Len()
		}
		line("disk %s %d+%d owner %d slot %d.%d", diskText(op.Kind), op.Offset, length, op.Tag.Owner, op.Tag.Slot, op.Tag.Generation)
	}
	for i := range out.Transactions {
		line("transaction slot %d %s", out.Transactions[i].Tag.Slot, txnText(&out.Transactions[i].Txn))
	}
	for i := range out.Completions {
		line("complete %d error %d", out.Completions[i].ID, out.Completions[i].Error)
	}
	for i := range out.Controls {
		line("control %s", controlText(&out.Controls[i]))
	}
	for i := range out.Events {
		line("event %s: %s", out.Events[i].Kind, out.Events[i].Text)
	}
}

func shardText(s *shard) string {
	switch s.kind {
	case diskShard:
		return fmt.Sprintf("disk%d", s.disk)
	case coordinatorShard:
		return fmt.Sprintf("coord v%d", s.volume[1])
	case orchestratorShard:
	}
	return "orch"
}

func connText(c step.Conn) string {
	if c&acceptedBit != 0 {
		return fmt.Sprintf("a%d", uint64(c&^acceptedBit))
	}
	return fmt.Sprintf("d%d", uint64(c))
}

// messageText shows the fields of a message that are set.
func messageText(m *message.Message) string {
	var b strings.Builder
	b.WriteString(kindText(m.Kind))
	field := func(name string, v uint64) {
		if v != 0 {
			fmt.Fprintf(&b, " %s %d", name, v)
		}
	}
	field("status", uint64(m.Status))
	field("era", uint64(m.Era))
	field("request", m.Request)
	field("seq", uint64(m.Seq))
	field("until", uint64(m.Until))
	field("committed", uint64(m.Committed))
	field("stable", uint64(m.Stable))
	field("accepted", uint64(m.Accepted))
	field("durable", uint64(m.Durable))
	field("chunk", uint64(m.Chunk))
	field("lastSeq", uint64(m.LastSeq))
	field("since", uint64(m.Since))
	field("resync", m.Resync&0xffff)
	if m.Position != (block.Position{}) {
		fmt.Fprintf(&b, " position %v", m.Position)
	}
	if m.Range.Count != 0 {
		fmt.Fprintf(&b, " %v", m.Range)
	}
	if r := &m.Record; r.Op != message.OpInvalid {
		fmt.Fprintf(&b, " record %v %s %v", r.Position, [...]string{"", "write", "zero", "nop", "snap", "delsnap", "resize"}[r.Op], r.Range)
	}
	if p := m.Promise; p != nil {
		fmt.Fprintf(&b, " incarnation %x boot %x tainted %v complete %v last %v durable %d stable %d known %d grant %v",
			uint64(p.Incarnation), p.BootID[:3], p.Tainted, p.Complete, p.LastAccepted, p.Durable, p.Stable, p.KnownEpoch, p.GrantRemaining)
	}
	if m.Present|m.Zero != 0 {
		fmt.Fprintf(&b, " present %016b zero %016b", m.Present, m.Zero)
	}
	for _, c := range m.Changes {
		fmt.Fprintf(&b, " (%d@%d)", c.Chunk, c.LastSeq)
	}
	return b.String()
}

func controlText(c *step.Control) string {
	text := controlName(c.Kind)
	if c.Config != nil {
		text += " " + configText(c.Config)
	}
	if c.Text != "" {
		text += ": " + c.Text
	}
	return text
}

func configText(c *volume.Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "epoch %d", c.Epoch)
	if n := c.Coordinator; n != nil {
		fmt.Fprintf(&b, " coordinator n%d/%x", n.Node[1], uint64(n.Session))
	}
	for i := range c.Members {
		m := &c.Members[i]
		fmt.Fprintf(&b, ", n%d %s %x boot %x", m.Node[1], m.State, uint64(m.Incarnation), m.BootID[:3])
	}
	fmt.Fprintf(&b, "; history %v lossy %d clean %v", c.History, c.LossyEra, c.CleanAt)
	return b.String()
}

func txnText(t *metadata.Txn) string {
	var b strings.Builder
	for _, g := range t.Guards {
		fmt.Fprintf(&b, "if %s@%d ", g.Key[len(volume.Prefix):], g.Revision)
	}
	for _, o := range t.Ops {
		fmt.Fprintf(&b, "put %s ", o.Key[len(volume.Prefix):])
		if c, err := volume.ParseConfig(o.Value); err == nil && strings.HasSuffix(o.Key, "/config") {
			b.WriteString(configText(c) + " ")
		}
	}
	for _, k := range t.Read {
		fmt.Fprintf(&b, "read %s ", k[len(volume.Prefix):])
	}
	return b.String()
}

func resultText(t *metadata.Txn, r *metadata.Result) string {
	return fmt.Sprintf("%s→ %s at %d", txnText(t), [...]string{"unknown", "applied", "refused"}[r.Outcome], r.Revision)
}
