package storetest

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
)

// scrubbing is a scrub of the whole disk, while whatever else goes on.
type scrubbing struct {
	running bool
	due     bool // its next turn
	at      volume.ScrubCursor
	found   map[block.Block]bool // blocks that were found lost by any, of heads or snapshots
	over    int                  // how many came to their end
}

// Scrub begins to read everything that is on the disk, turn by turn of most bytes.
// On a disk that nothing happened to it finds nothing.
func (m *Machine) Scrub(most int64) {
	s, real := m.store.(*store.Store)
	if !real || m.scrub.running || m.stopped != "" {
		return
	}
	m.scrub.running, m.scrub.due = true, false
	m.log("scrub from %+v", m.scrub.at)
	token := m.token(func(res *store.Result) {
		m.scrub.running = false
		if res.Status != message.OK {
			return
		}
		if m.scrub.at = res.Scrub; store.ScrubEnded(res.Scrub) {
			m.scrub.at = volume.ScrubCursor{}
			m.scrub.over++
			return
		}
		m.scrub.due = true
	})
	s.Scrub(m.now, m.scrub.at, most, token, &m.out)
	m.settle()
}

// goOnScrubbing takes the next turn of a scrub, if one is due.
func (m *Machine) goOnScrubbing() {
	if m.scrub.due && m.failure == nil {
		m.Scrub(scrubTurn)
	}
}

// scrubTurn is a few chunks of tiny blocks: most turns end in the middle of a leaf.
const scrubTurn = 16 << 10

func (m *Machine) onRotten(res *store.Result) {
	m.log("  rotten: chunk %d of layer %d of handle %d: %016b", res.Content.Chunk, res.Layer, res.Handle, res.Bad)
	if !m.faulty {
		m.fail("a scrub found blocks %016b of chunk %d of layer %d lost, and nothing happened to the disk", res.Bad, res.Content.Chunk, res.Layer)
	}
	if m.scrub.found == nil {
		m.scrub.found = map[block.Block]bool{}
	}
	for i := range block.PerChunk {
		if res.Bad&(1<<i) != 0 {
			m.scrub.found[res.Content.Chunk.First()+block.Block(i)] = true
		}
	}
}
