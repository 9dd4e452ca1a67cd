package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/linearizability"
)

// recoverAll runs the healed world until everything works again (I15): every
// request is answered, every volume is served, every copy whose disk exists is
// in sync.
func (w *World) recoverAll() {
	w.run(w.now+int64(w.plan.Liveness), w.recovered)
	w.run(w.now+int64(transactionDeadline+lateMax), nil) // requests that are decided late are decided
	w.run(w.now+int64(w.plan.Liveness), w.recovered)
	if !w.recovered() {
		w.fail("liveness", "%v after the last fault: %s", w.plan.Liveness, w.missing())
	}
	for _, v := range w.volumes {
		if v.lost() {
			w.counts.Stuck++
			w.mustSay(v)
		}
	}
}

func (w *World) recovered() bool {
	for _, b := range w.bodies {
		for _, s := range b.disks {
			if !s.ready && !b.drives[s.disk].refused {
				return false
			}
		}
	}
	for i, v := range w.volumes {
		if v.deleting {
			if !w.isGone(v) {
				return false
			}
			continue
		}
		if !w.volumeRecovered(v) || !v.lost() && !w.operator.content(v, i) {
			return false
		}
	}
	return w.shortLivedGone()
}

func (w *World) volumeRecovered(v *volumeState) bool {
	if v.lost() {
		st := v.latest()
		return st != nil && st.text != "" // it waits for a human, and says so
	}
	for _, st := range v.servings {
		if len(st.requests) > 0 {
			return false
		}
	}
	for _, b := range w.bodies {
		if slices.ContainsFunc(b.survivors, func(o *survivor) bool { return o.volume == v }) {
			return false
		}
	}
	if v.newest() == nil || v.newest().text != "" || !v.snapshotsSettled() || !w.isPlaced(v) || !v.isGrown() {
		return false
	}
	for i := range v.config.Members {
		m := &v.config.Members[i]
		if state := v.member(m.Replica); m.State != volume.InSync && !state.gone && !state.refused && !w.cramped(m) {
			return false
		}
	}
	return true
}

// latest returns the coordinator that was made last.
func (v *volumeState) latest() *serving {
	if n := len(v.servings); n > 0 {
		return v.servings[n-1]
	}
	return nil
}

func (w *World) mustSay(v *volumeState) {
	if st := v.latest(); st == nil || st.text == "" {
		w.fail("liveness", "%s waits for a disk that is gone, and does not say so", v.name)
	}
}

// missing describes what did not recover.
func (w *World) missing() string {
	var b strings.Builder
	for _, n := range w.bodies {
		for _, s := range n.disks {
			if !s.ready && !n.drives[s.disk].refused {
				fmt.Fprintf(&b, "%s is not open; ", s)
			}
		}
	}
	if !w.shortLivedGone() {
		fmt.Fprintf(&b, "short-lived volumes are left: %s; ", w.shortLivedText())
	}
	for i, v := range w.volumes {
		if v.deleting && w.isGone(v) || !v.deleting && w.volumeRecovered(v) && (v.lost() || w.operator.content(v, i)) {
			continue
		}
		if v.deleting {
			fmt.Fprintf(&b, "%s is to be deleted: ", v.name)
		}
		fmt.Fprintf(&b, "wanted at node %d (command %d under way); ", w.operator.wants[i].node, w.operator.wants[i].asked)
		fmt.Fprintf(&b, "%d of %d blocks; ", v.config.Blocks, v.plan.Blocks)
		fmt.Fprintf(&b, "%s: %s; attached to node %d; %s; ", v.name, configText(v.config), v.attachment.Node[1], v.snapshotsText())
		if v.placement != nil {
			fmt.Fprintf(&b, "%s; ", w.placementText(v.placement))
		}
		for j := range v.config.Members {
			m := v.member(v.config.Members[j].Replica)
			if m.wounded || m.gone {
				fmt.Fprintf(&b, "member %d wounded %v gone %v; ", j, m.wounded, m.gone)
			}
		}
		for _, st := range v.servings {
			fmt.Fprintf(&b, "coordinator at %s serves %v, says %q, %d requests open; ", st.shard.body.name, st.ready, st.text, len(st.requests))
		}
	}
	return b.String()
}

// readBack reads every block of every volume once more, and flushes.
func (w *World) readBack() {
	open := 0
	for i, v := range w.volumes {
		if v.lost() || v.deleted {
			continue
		}
		v.image = make([]byte, v.plan.Blocks*w.plan.BlockSize)
		reader := newClient(w, len(w.plan.Clients)+i, &ClientPlan{Volume: i, Depth: 1})
		reader.mount = v.newest()
		for first := 0; first < v.plan.Blocks; first += block.PerChunk {
			r := block.Range{First: block.Block(first), Count: uint32(min(block.PerChunk, v.plan.Blocks-first))}
			w.readerAsks(reader, step.ReadRequest, r, &open)
		}
		w.readerAsks(reader, step.FlushRequest, block.Range{}, &open)
	}
	w.run(w.now+int64(w.plan.Liveness), func() bool { return open == 0 })
	if open > 0 {
		w.fail("liveness", "%d requests of the read-back were not answered in %v: %s", open, w.plan.Liveness, w.missing())
	}
}

func (w *World) readerAsks(c *client, kind step.RequestKind, r block.Range, open *int) {
	*open++
	q := c.request(kind, false, r)
	q.reader = func(ok bool) {
		*open--
		if !ok && kind == step.ReadRequest && r.Count > 1 { // which of them is it?
			for b := r.First; b < r.End(); b++ {
				w.readerAsks(c, kind, block.Range{First: b, Count: 1}, open)
			}
			return
		}
		if !ok && kind == step.ReadRequest {
			c.volume.missed(r)
		}
		if !ok && (kind != step.ReadRequest || c.volume.readable(w)) {
			w.fail("liveness", "the read-back of %v of %s failed in a healed world", r, c.volume.name)
		}
	}
}

// keepImage notes what the read-back returned.
func (v *volumeState) keepImage(q *request, data []byte) {
	size := len(v.image) / v.plan.Blocks
	copy(v.image[int(q.blocks.First)*size:], data)
}

// compareMembers looks at the disks themselves: every copy in sync holds what
// clients read, byte for byte, also after losing power now (I1, I10), and lacks
// nothing of it (I16).
func (w *World) compareMembers() {
	for _, v := range w.volumes {
		if v.lost() {
			continue
		}
		var holes snapshotHoles
		for i := range v.config.Members {
			m := &v.config.Members[i]
			b := w.bodyOf(m.Node)
			if state := v.member(m.Replica); m.State != volume.InSync || state.gone || state.refused {
				continue
			}
			w.compareSnapshots(v, b, m, &holes)
			image, holes := w.readDisk(b.drives[0], m.Replica, v.plan.Blocks)
			if image == nil {
				continue // an unsound disk that does not tell any more
			}
			if n := v.gap(holes); n >= 0 {
				w.fail("I16", "block %d of %s cannot be read on %s after all disks were scrubbed, and clients read it", n, v.name, b.name)
			}
			n := w.differ(image, v.image, func(n int) bool { return holes[n] || v.unread != nil && v.unread[n] })
			if n < 0 {
				continue
			}
			w.fail("I10", "block %d of %s on %s is %s, clients read %s", n, v.name, b.name,
				w.blockText(image, n), w.blockText(v.image, n))
		}
		w.compareHoles(v, &holes)
	}
}

// gap returns the first of a copy's holes that clients read all the same, or -1.
func (v *volumeState) gap(holes []bool) int {
	for n, hole := range holes {
		if hole && (v.unread == nil || !v.unread[n]) {
			return n
		}
	}
	return -1
}

// differ returns the first block that two images do not agree on, or -1.
func (w *World) differ(a, b []byte, skip func(n int) bool) int {
	size := w.plan.BlockSize
	for n := range len(a) / size {
		if !bytes.Equal(a[n*size:(n+1)*size], b[n*size:(n+1)*size]) && !skip(n) {
			return n
		}
	}
	return -1
}

func (w *World) blockText(image []byte, n int) string {
	data := image[n*w.plan.BlockSize : (n+1)*w.plan.BlockSize]
	for _, v := range w.volumes {
		if s, err := linearizability.Decode(data, v.id, block.Block(n)); err == nil {
			return s.String()
		}
	}
	return fmt.Sprintf("%x…", data[:16])
}

// judge holds what clients saw against what a volume promises.
func (w *World) judge(c *linearizability.Checker) {
	if c == nil {
		c = &linearizability.Checker{}
	}
	for _, v := range w.volumes {
		if v.beyond {
			continue
		}
		for _, h := range append(v.past, v.history) {
			if found := c.Check(h); found != nil {
				w.found("linearizability", v, found)
			}
			if found := linearizability.CheckPrefix(h); found != nil {
				w.found("I3", v, found)
			}
		}
	}
}

// found ends the run with a verdict about a history.
func (w *World) found(invariant string, v *volumeState, found *linearizability.Violation) {
	panic(&Violation{
		Invariant: invariant, Text: fmt.Sprintf("%s: %v", v.name, found), Step: w.steps, At: time.Duration(w.now),
		Volume: w.volumeIndex(v.id), Found: found,
	})
}
