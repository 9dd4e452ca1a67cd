package sim

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/linearizability"
)

// Who copies a volume asks where there may be data, and copies nothing else. So what a
// map leaves out must read as zeroes: to the judges a map without data is a read of
// zeroes, and one with data says nothing.

// mapsOneIn is how many operations of a client there are for one map, where it asks for
// maps.
const mapsOneIn = 6

// drawMaps has clients ask for maps in an eighth of the runs.
func (p *Plan) drawMaps() {
	s := newStream(p.Seed, "maps", 0)
	p.Maps = s.oneIn(8)
}

// callMap records a map as a read.
func (c *client) callMap(q *request, r *step.Request) linearizability.Op {
	q.maps, r.Map = true, true
	return q.history.Call(c.world.now, c.index, linearizability.Read, q.blocks)
}

// returnMap records what a map says.
func (w *World) returnMap(q *request, s *shard, _ []byte) {
	w.counts.Maps++
	if q.present != 0 {
		q.history.Ambiguous(q.op)
		return
	}
	w.returnRead(q, s, make([]byte, int(q.blocks.Count)*w.plan.BlockSize))
}

// checkMap compares what a map of a snapshot leaves out with what the stream had there.
func (w *World) checkMap(s *shard, q *request) {
	w.counts.Maps++
	zeroes := make([]byte, w.plan.BlockSize)
	for b := q.blocks.First; b < q.blocks.End(); b++ {
		if q.present&(1<<b.Offset()) != 0 {
			continue
		}
		w.checkLayer(q.client.volume, q.layer, block.Range{First: b, Count: 1}, zeroes, func(n int) string {
			return fmt.Sprintf("%s says that block %d of snapshot %x of %s has no data", s, n, q.layer, q.client.volume.name)
		})
	}
}
