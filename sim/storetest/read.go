package storetest

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store"
)

// Read reads blocks of one chunk and checks, when the answer comes, that each
// holds what one of the acts accepted or pending in the meantime left there.
func (m *Machine) Read(slot int, blocks block.Range) { m.ReadImage(slot, 0, blocks) }

// ReadImage is Read of a snapshot; 0 is the head.
func (m *Machine) ReadImage(slot int, id block.LayerID, blocks block.Range) {
	r := m.replicas[slot]
	from := r.accepted
	token := m.token(func(res *store.Result) {
		m.checkRead(r, id, blocks, from, len(r.log), res)
	})
	m.log("read %d of %d %v", slot, id, blocks)
	m.store.Read(m.now, r.handle, id, blocks, token, &m.out)
	m.settle()
}

func (m *Machine) checkRead(r *replica, id block.LayerID, blocks block.Range, from, to int, res *store.Result) {
	if res.Kind != store.ReadDone {
		m.fail("result %d instead of ReadDone", res.Kind)
		return
	}
	defer res.Payload.Release()
	from, to = min(from, len(r.log)), min(to, len(r.log))
	images := r.images(id, from, to)
	if !good(res.Status) && id != 0 && len(images) <= to-from {
		return // at one of these moments there was no such snapshot
	}
	got, ok := m.stampsOf(r, blocks, res)
	if !ok {
		return
	}
	for i, s := range got {
		b := blocks.First + block.Block(i)
		if !slices.ContainsFunc(images, func(content []stamp) bool { return content[b] == s }) {
			m.fail("read of block %d of layer %d of replica %x returned stamp %d, which is not what acts %d to %d left there (%v)",
				b, id, r.id[:8], s, from, to, r.held(b))
		}
	}
}

// images returns what the snapshot id held after each number of acts.
func (r *replica) images(id block.LayerID, from, to int) (list [][]stamp) {
	for n := from; n <= to; n++ {
		st := r.after(n)
		if content := st.strata.image(id); st.exists && content != nil {
			list = append(list, content)
		}
	}
	return list
}

// ended reports whether a result is how a store that stops answers what is under way.
func (m *Machine) ended(res *store.Result) bool {
	return m.stopped != "" && res.Status == message.DiskFailed
}

// stampsOf verifies a ReadDone by itself and returns the stamps of its blocks.
func (m *Machine) stampsOf(r *replica, blocks block.Range, res *store.Result) ([]stamp, bool) {
	if !good(res.Status) {
		if !m.faulty && !m.ended(res) {
			m.fail("read of %v of replica %x: status %d", blocks, r.id[:8], res.Status)
		}
		m.refused += int(blocks.Count)
		return nil, false
	}
	data, size := res.Payload.Bytes(), m.config.BlockSize
	if len(data) != int(blocks.Count)*size {
		m.fail("read of %d blocks returned %d bytes", blocks.Count, len(data))
		return nil, false
	}
	got := make([]stamp, blocks.Count)
	for i := range got {
		b := blocks.First + block.Block(i)
		s, ok := stampOf(r.pattern, b, data[i*size:(i+1)*size])
		if !ok {
			m.fail("block %d of replica %x holds no content of it: %x", b, r.id[:8], data[i*size:i*size+16])
			return nil, false
		}
		if sum := block.ChecksumOf(data[i*size : (i+1)*size]); res.Checksums[i] != sum {
			m.fail("block %d of replica %x came with checksum %x, its data has %x", b, r.id[:8], res.Checksums[i], sum)
			return nil, false
		}
		got[i] = s
	}
	return got, true
}

// held lists the stamps that b had, for a failure.
func (r *replica) held(b block.Block) (list []stamp) {
	for n := range len(r.log) + 1 {
		if s := r.after(n).content[b]; len(list) == 0 || list[len(list)-1] != s {
			list = append(list, s)
		}
	}
	return list
}

// found is an image as it was read. Blocks whose reading was rightly refused are
// false in known.
type found struct {
	id      block.LayerID
	content []stamp
	known   []bool
}

// ReadAll reads the head and all snapshots of a replica, chunk by chunk, at rest.
func (m *Machine) ReadAll(r *replica) (list []found) {
	list = append(list, m.readImage(r, 0))
	for _, l := range m.store.Layers(r.handle, nil) {
		if l.Own && l.ID != 0 && !l.Deleted {
			list = append(list, m.readImage(r, l.ID))
		}
	}
	return list
}

// readTriesMax is how often a chunk is read that is refused. What an error that
// passes hides now would be found later, and be taken for wrong if another state
// than the right one was believed meanwhile.
const readTriesMax = 4

func (m *Machine) readImage(r *replica, id block.LayerID) found {
	f := found{id: id, content: make([]stamp, r.blocks), known: make([]bool, r.blocks)}
	for range readTriesMax {
		for first := block.Block(0); uint64(first) < r.blocks; first += block.PerChunk {
			if !f.known[first] {
				m.readChunk(r, &f, block.Range{First: first, Count: uint32(min(block.PerChunk, r.blocks-uint64(first)))})
			}
		}
		m.Drain()
	}
	return f
}

func (m *Machine) readChunk(r *replica, f *found, blocks block.Range) {
	token := m.token(func(res *store.Result) {
		defer res.Payload.Release()
		got, ok := m.stampsOf(r, blocks, res)
		for i := range got {
			f.content[int(blocks.First)+i], f.known[int(blocks.First)+i] = got[i], ok
		}
	})
	m.store.Read(m.now, r.handle, f.id, blocks, token, &m.out)
	m.settle()
}

// FetchTail reads records back and compares them with what was appended.
func (m *Machine) FetchTail(r *replica, first, last block.Seq) {
	if first > last {
		return
	}
	next := first
	state := r.after(len(r.log))
	token := m.token(func(res *store.Result) {
		defer res.Payload.Release()
		if res.Kind == store.TailDone {
			if !m.faulty && !m.ended(res) && (!good(res.Status) || next != last+1) {
				m.fail("tail %d to %d of replica %x ended before %d with status %d", first, last, r.id[:8], next, res.Status)
			}
			return
		}
		m.checkTailRecord(r, state, next, res)
		next++
	})
	m.store.FetchTail(m.now, r.handle, first, last, token, &m.out)
	m.settle()
	m.Drain()
	if _, waits := m.expected[token]; waits && m.stopped == "" {
		m.fail("tail %d to %d of replica %x: no TailDone", first, last, r.id[:8])
	}
}

func (m *Machine) checkTailRecord(r *replica, s state, seq block.Seq, res *store.Result) {
	for _, i := range s.records {
		a := &r.log[i]
		if a.record.Position.Seq != seq {
			continue
		}
		if res.Kind != store.TailRecord || res.Record != a.record {
			m.fail("tail of replica %x at %d is %+v, appended was %+v", r.id[:8], seq, res.Record, a.record)
		}
		if a.record.Op != message.OpWrite {
			return
		}
		want := m.content(r, a.record.Range, stamp(a.stamp))
		defer want.Release()
		if string(want.Bytes()) != string(res.Payload.Bytes()) {
			m.fail("tail of replica %x at %d: other data than appended", r.id[:8], seq)
		}
		return
	}
	m.fail("tail of replica %x returned record %v, expected is %d", r.id[:8], res.Record.Position, seq)
}
