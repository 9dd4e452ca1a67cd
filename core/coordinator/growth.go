package coordinator

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// growth is how a volume comes to the size that its specification asks for. It never
// shrinks.
//
//	specification ──▶ configuration ──▶ RESIZE in the stream ──▶ durable on every required member ──▶ usable
//	                                              └── no member has room: a NOP takes its place, until it is tried again
//
// The configuration is the authority. A session that finds members smaller puts the
// record into the stream once more: they do it once.
type growth struct {
	wanted uint64    // blocks that the specification asks for, as far as is known
	stream uint64    // as of the newest record
	usable uint64    // requests lie below: every required member has that durable; ≤ stream
	at     block.Seq // of the RESIZE that is not durable yet; 0: there is none
	mine   bool      // this session has recorded the size
	after  step.Time // none is tried before
}

// growAgain is when a volume is grown again for which no member had room.
const growAgain = 5 * time.Second

// onSize takes the size that the specification asks for.
func (c *Coordinator) onSize(blocks uint64, out *step.Effects) {
	c.growth.wanted = max(c.growth.wanted, blocks)
	c.reconfigure(out)
}

// enlarge makes a change of the configuration, nil if there is none yet, one that has
// the size which is wanted.
func (c *Coordinator) enlarge(next *volume.Config, out *step.Effects) *volume.Config {
	if c.phase != serving || c.growth.wanted <= c.config.Blocks {
		return next
	}
	out.Marks.Hit("coordinator: size of a volume recorded")
	if next == nil {
		next = c.config.Clone()
	}
	if next.FirstBlocks == 0 {
		next.FirstBlocks = c.config.Blocks
	}
	next.Blocks, c.growth.mine = c.growth.wanted, true
	return next
}

// sizeOf takes the size of the volume from a member that has the last record of the
// former eras.
func (g *growth) sizeOf(donor *member, recorded *volume.Config) {
	g.stream = max(recorded.LeastBlocks(), min(donor.promise.Blocks, recorded.Blocks))
	g.usable, g.at, g.after = g.stream, 0, 0
}

// driveGrowth puts a RESIZE into the stream where the configuration asks for one, and
// says when the volume has grown. Level-triggered: it is safe to call after any event.
func (c *Coordinator) driveGrowth(out *step.Effects) {
	g := &c.growth
	if g.at != 0 && c.stable >= g.at {
		out.Marks.Hit("coordinator: volume grown")
		g.usable, g.at = g.stream, 0
		out.Controls = append(out.Controls, step.Control{Kind: step.VolumeGrown, Volume: c.p.Volume, Session: c.session, Blocks: g.usable})
	}
	if c.phase != serving || g.at != 0 || g.stream >= c.config.Blocks || c.now < g.after || c.window.full() {
		return
	}
	if resizeOnce && !g.mine {
		out.Marks.Hit("mutant: resize once")
		return
	}
	at := block.Position{Era: c.era, Seq: c.window.next}
	record := message.Record{Position: at, Op: message.OpResize, Blocks: c.config.Blocks}
	g.stream, g.at, c.snapshots.newest = c.config.Blocks, at.Seq, at.Seq
	c.window.push(entry{record: record, op: noOp, sentAt: c.now})
	for _, m := range c.members {
		if m.streaming {
			c.pump(m, out)
		}
	}
	c.resyncShaped(&record, out)
	c.askSyncTo(at.Seq, out)
}

// growthRefused notes that no member had room for a RESIZE.
func (c *Coordinator) growthRefused() {
	g := &c.growth
	g.stream, g.at, g.after = g.usable, 0, c.now.Add(growAgain)
}

// emptied is how many blocks a target of a resync is to have when it is emptied: as
// many as the oldest layer can have, for none shrinks.
func (c *Coordinator) emptied() (record message.Record) {
	if c.resync.since == 0 && c.config.FirstBlocks != 0 {
		record = message.Record{Op: message.OpResize, Blocks: c.config.FirstBlocks}
	}
	return record
}

// growTarget has the target of a resync, which has size blocks, come to those of a
// layer of the source before it is filled and closed.
func (s *strata) growTarget(l *message.LayerInfo, size uint64, out *step.Effects) uint64 {
	if l.Blocks <= size {
		return size
	}
	if smallTarget {
		out.Marks.Hit("mutant: small target")
		return size
	}
	out.Marks.Hit("coordinator: member filled that was smaller")
	s.toOpen = append(s.toOpen, message.Record{Op: message.OpResize, Blocks: l.Blocks})
	return l.Blocks
}
