package storetest

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store"
)

// Pull reads the stable content of a chunk of a layer, as the source of a resync
// does, and compares it with what the stable records alone made of it.
func (m *Machine) Pull(slot int, id block.LayerID, c block.Chunk) {
	r := m.replicas[slot]
	c %= block.Chunk((r.blocks + block.PerChunk - 1) / block.PerChunk)
	if !r.isSource() {
		return
	}
	from := min(r.told, r.durableSeq())
	token := m.token(func(res *store.Result) { m.checkPull(r, id, c, from, res) })
	m.log("pull %d layer %d chunk %d", slot, id, c)
	m.store.Pull(m.now, r.handle, id, c, token, &m.out)
	m.settle()
}

// isSource reports whether r is what a resync may read from.
func (r *replica) isSource() bool {
	s := r.after(len(r.log))
	return s.exists && s.meta.Resync == 0 && r.told >= r.base.last.Seq // of less the oracle forgot the content
}

func (m *Machine) checkPull(r *replica, id block.LayerID, c block.Chunk, from block.Seq, res *store.Result) {
	defer res.Payload.Release()
	if r.reshaped(from) {
		return // which layer that was depends on what was accepted when it was asked for
	}
	if !r.isSource() { // it was emptied meanwhile
		return
	}
	if res.Kind != store.PullDone || !good(res.Status) {
		if !m.faulty {
			m.fail("pull of chunk %d of replica %x ended with result %d, status %d", c, r.id[:8], res.Kind, res.Status)
		}
		m.refused++
		return
	}
	var reason string
	for seq := from; seq <= max(from, r.stable); seq++ {
		if reason = m.differs(r, r.stableAt(seq), id, c, res); reason == "" {
			return
		}
	}
	m.fail("pull of chunk %d of replica %x: %s", c, r.id[:8], reason)
}

// reshaped reports whether records above from, which are not known to be stable,
// change r's layers.
func (r *replica) reshaped(from block.Seq) bool {
	for i := range r.log {
		if a := &r.log[i]; a.kind == actRecord && a.record.Position.Seq > from && (a.record.Op == message.OpSnap || a.record.Op == message.OpDelSnap) {
			return true
		}
	}
	return false
}

// differs says how a PullDone differs from a state; "" if it does not. What a
// layer got from one that was merged into it may be there or not.
func (m *Machine) differs(r *replica, s state, id block.LayerID, c block.Chunk, res *store.Result) string {
	got := &res.Content
	if got.Chunk != c {
		return "another chunk"
	}
	at, ok := s.strata.find(id)
	if !ok {
		return ""
	}
	layer, image := &s.strata.all[at], s.strata.image(id)
	lost := m.faulty && got.Present&got.Zero != 0 // with its leaf: it counts as changed when that was last
	if want := layer.touched[c]; got.LastSeq < want || got.LastSeq > want && !s.strata.merges && !lost {
		return fmt.Sprintf("last seq %d, want %d", got.LastSeq, want)
	}
	size := m.config.BlockSize
	for i := range block.PerChunk {
		b := c.First() + block.Block(i)
		if uint64(b) >= r.blocks {
			break
		}
		bit := uint16(1) << i
		if m.faulty && got.Present&got.Zero&bit != 0 {
			continue // it says itself that the block is lost
		}
		want := layer.own[b]
		if s.strata.merges && want == absent && (got.Present|got.Zero)&bit != 0 {
			want = image[b]
		}
		if got.Present&bit == 0 {
			if want != 0 && want != absent || (want == 0) != (got.Zero&bit != 0) {
				return fmt.Sprintf("block %d is not present (zero: %v), want stamp %d", b, got.Zero&bit != 0, want)
			}
			continue
		}
		data := res.Payload.Bytes()[i*size : (i+1)*size]
		if held, ok := stampOf(r.pattern, b, data); !ok || held != want {
			return fmt.Sprintf("block %d holds stamp %d (whole: %v), want %d", b, held, ok, want)
		}
		if got.Zero&bit != 0 || got.Checksums[i] != block.ChecksumOf(data) {
			return fmt.Sprintf("block %d is present, but also zero, or has another checksum", b)
		}
	}
	return ""
}

// List lists what changed in a layer after since and checks that no stable change
// is missing.
func (m *Machine) List(slot int, id block.LayerID, since block.Seq) {
	r := m.replicas[slot]
	if !r.isSource() {
		return
	}
	listed := make(map[block.Chunk]block.Seq)
	m.log("list %d layer %d since %d", slot, id, since)
	m.list(r, id, since, 0, min(r.told, r.durableSeq()), listed)
}

func (m *Machine) list(r *replica, id block.LayerID, since block.Seq, cursor uint64, from block.Seq, listed map[block.Chunk]block.Seq) {
	next := uint64(0)
	token := m.token(func(res *store.Result) {
		for _, c := range res.Changes {
			listed[c.Chunk] = c.LastSeq
		}
		if next = res.Cursor; next == 0 {
			m.checkListed(r, id, since, from, res, listed)
		}
	})
	m.store.ListChanged(m.now, r.handle, id, since, cursor, token, &m.out)
	m.settle()
	m.Drain()
	if next != 0 && m.failure == nil {
		m.list(r, id, since, next, from, listed)
	}
}

func (m *Machine) checkListed(r *replica, id block.LayerID, since, from block.Seq, res *store.Result, listed map[block.Chunk]block.Seq) {
	if r.reshaped(from) {
		return
	}
	if res.Kind != store.ChangesDone || res.Status != message.OK {
		if !m.faulty {
			m.fail("listing changes ended with result %d, status %d", res.Kind, res.Status)
		}
		return
	}
	if res.Position.Seq < from || res.Position.Seq > r.stable {
		m.fail("listing changes reports stable %d; told was %d, of which %d was durable", res.Position.Seq, r.stable, from)
		return
	}
	s := r.stableAt(res.Position.Seq)
	at, ok := s.strata.find(id)
	if !ok {
		return
	}
	for c, seq := range s.strata.all[at].touched {
		if seq > since && listed[block.Chunk(c)] < seq {
			m.fail("chunk %d of replica %x changed at %d, listed (since %d) is %d", c, r.id[:8], seq, since, listed[block.Chunk(c)])
			return
		}
	}
}
