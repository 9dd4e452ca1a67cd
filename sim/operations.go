package sim

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/linearizability"
)

// OperationKind names a kind of operation in plans and scripts: an index of
// operations. Requests of a device have the numbers that core gives them.
type OperationKind uint8

// The operations of clients.
const (
	OpRead         = OperationKind(step.ReadRequest)
	OpWrite        = OperationKind(step.WriteRequest)
	OpZero         = OperationKind(step.ZeroRequest)
	OpFlush        = OperationKind(step.FlushRequest)
	OpBlank        = OpFlush + 1 // a write of nothing but zeroes
	OpSnapshot     = OpFlush + 2
	OpDropSnapshot = OpFlush + 3
	OpReadSnapshot = OpFlush + 4
	OpClone        = OpFlush + 5
	OpRestore      = OpFlush + 6
	OpDeleteVolume = OpFlush + 7
	OpAddCopy      = OpFlush + 8
	OpMoveCopy     = OpFlush + 9
	OpRemoveCopy   = OpFlush + 10
	OpSetCopies    = OpFlush + 11
	OpKeepCopies   = OpFlush + 12
	OpGrow         = OpFlush + 13
	OpDrain        = OpFlush + 14
	OpUndrain      = OpFlush + 15
	OpCordon       = OpFlush + 16
	OpUncordon     = OpFlush + 17
	OpMap          = OpFlush + 18 // where is there data?
	operationKinds = OpFlush + 19
)

func (k OperationKind) String() string { return operations[k].name }

// operationNames returns the names of all kinds, by number.
func operationNames() (names []string) {
	for i := range operations {
		names = append(names, operations[i].name)
	}
	return names
}

// operation is all that there is to know about one kind of operation. A new kind
// adds a number above and an entry below; clients, schedules, scripts, traces
// and the shrinker know none by name.
type operation struct {
	name     string
	share    int              // of what a client asks for beside reads
	rare     int              // of what it asks for now and then, where volumes have snapshots
	moves    int              // of what it asks for now and then, where copies come and go
	nodes    int              // of what it asks for now and then, where something is asked of nodes
	blocks   bool             // it is about blocks, drawn among the hot ones
	fuaOneIn int              // so many are one that is asked for with FUA; 0: none are
	request  step.RequestKind // what a device is asked

	// perform asks for it. What it becomes is nobody's business here: requests of a
	// device, each of them modelled by call and done, or a command of an operator.
	perform func(c *client, of *operation, o Operation)

	// call puts a request of a device into the history, as what is asked for, and
	// adds to the request what it carries; done puts in what a success means.
	call func(c *client, q *request, r *step.Request) linearizability.Op
	done func(w *World, q *request, s *shard, data []byte)
}

// operations is the table of all kinds.
var operations = [operationKinds]operation{ // constant table
	OpRead: {
		name: "read", blocks: true, request: step.ReadRequest, perform: (*client).askDevice,
		call: calls(linearizability.Read), done: (*World).returnRead,
	},
	OpWrite: {
		name: "write", share: 43, blocks: true, fuaOneIn: 8, request: step.WriteRequest, perform: (*client).askDevice,
		call: (*client).callWrite, done: (*World).returnWrite,
	},
	OpZero: {
		name: "zero", share: 3, blocks: true, request: step.ZeroRequest, perform: (*client).askDevice,
		call: calls(linearizability.Zero), done: (*World).returnWrite,
	},
	OpFlush: {
		name: "flush", share: 12, request: step.FlushRequest, perform: (*client).askDevice,
		call: calls(linearizability.Flush), done: (*World).returnFlush,
	},
	OpBlank: {
		name: "blank", share: 2, blocks: true, fuaOneIn: 8, request: step.WriteRequest, perform: (*client).askDevice,
		call: (*client).callBlank, done: (*World).returnWrite,
	},
	OpMap: {
		name: "map", blocks: true, request: step.ReadRequest, perform: (*client).askDevice,
		call: (*client).callMap, done: (*World).returnMap,
	},
	OpSnapshot:     {name: "snapshot", rare: 3, perform: (*client).takeSnapshot},
	OpDropSnapshot: {name: "delete-snapshot", rare: 2, perform: (*client).dropSnapshot},
	OpClone:        {name: "clone", rare: 1, perform: (*client).cloneSnapshot},
	OpRestore:      {name: "restore", perform: (*client).restoreSnapshot},
	OpDeleteVolume: {name: "delete-volume", perform: (*client).deleteVolume},
	OpReadSnapshot: {name: "read-snapshot", rare: 7, blocks: true, perform: (*client).readSnapshot},
	OpAddCopy:      {name: "add-copy", moves: 3, blocks: true, perform: changes(volume.AddReplica)},
	OpMoveCopy:     {name: "move-copy", moves: 5, blocks: true, perform: changes(volume.MoveReplica)},
	OpRemoveCopy:   {name: "remove-copy", moves: 3, blocks: true, perform: changes(volume.RemoveReplica)},
	OpSetCopies:    {name: "set-copies", moves: 2, blocks: true, perform: changes(volume.SetVolume)},
	OpGrow:         {name: "grow", blocks: true, perform: (*client).grow},
	OpKeepCopies:   {name: "keep-copies", moves: 1, blocks: true, perform: changes(volume.KeepReplicas)},
	OpDrain:        {name: "drain", nodes: 3, blocks: true, perform: drains(true)},
	OpUndrain:      {name: "undrain", nodes: 4, blocks: true, perform: drains(false)},
	OpCordon:       {name: "cordon", nodes: 1, blocks: true, perform: cordons(true)},
	OpUncordon:     {name: "uncordon", nodes: 2, blocks: true, perform: cordons(false)},
}

// calls records an operation that carries nothing.
func calls(kind linearizability.Kind) func(*client, *request, *step.Request) linearizability.Op {
	return func(c *client, q *request, _ *step.Request) linearizability.Op {
		return q.history.Call(c.world.now, c.index, kind, q.blocks)
	}
}

func (c *client) callWrite(q *request, r *step.Request) linearizability.Op {
	values, payload := c.stamps(q.blocks)
	r.Payload = payload
	c.volume.writes[values[0]] = q
	how := linearizability.Write
	if q.fua {
		how = linearizability.WriteFUA
	}
	return q.history.Call(c.world.now, c.index, how, q.blocks, values...)
}

// callBlank records a write of zeroes as what it comes to.
func (c *client) callBlank(q *request, r *step.Request) linearizability.Op {
	r.Payload = c.mount.shard.body.pool.Get(int(q.blocks.Count) * c.world.plan.BlockSize)
	clear(r.Payload.Bytes())
	return q.history.Call(c.world.now, c.index, linearizability.Zero, q.blocks)
}

// returnRead records what a read returned. Where clocks run wilder than the
// protocol tolerates only the read-back counts.
func (w *World) returnRead(q *request, s *shard, data []byte) {
	v := q.client.volume
	if len(data) != int(q.blocks.Count)*w.plan.BlockSize {
		w.fail("completions", "%s answers a read of %v with %d bytes", s, q.blocks, len(data))
	}
	if q.reader != nil {
		v.keepImage(q, data)
	} else if w.plan.ClocksOutside {
		q.history.Ambiguous(q.op)
		return
	}
	data = w.overBase(v, q.blocks, data)
	w.checkDropped(q, data)
	q.history.ReturnData(w.now, q.op, data)
}

func (w *World) returnWrite(q *request, _ *shard, _ []byte) {
	q.history.Return(w.now, q.op)
	w.acknowledged(q)
}

// returnFlush records that what was acknowledged is durable. A device whose
// volume another node took over meanwhile speaks of its own writes, which the
// takeover made durable; not of that node's.
func (w *World) returnFlush(q *request, s *shard, _ []byte) {
	if s.state.era < q.client.volume.era {
		q.history.Ambiguous(q.op)
		return
	}
	w.returnWrite(q, s, nil)
}

// draw draws what a client asks for next: of what kind, by shares, and where.
func (c *client) draw() Operation {
	o := Operation{Kind: OpRead}
	switch {
	case c.rare && c.world.plan.Restores && c.back.oneIn(restoreOneIn):
		o.Kind = OpRestore
	case c.rare && c.world.plan.Deletes && c.end.oneIn(restoreOneIn):
		o.Kind = OpDeleteVolume
	case c.maps && c.mapper.oneIn(mapsOneIn):
		o.Kind = OpMap
	case c.grows && c.grower.oneIn(movesOneIn):
		o.Kind = OpGrow
	case c.drains && c.drainer.oneIn(drainsOneIn):
		o.Kind = drawKind(&c.drainer, func(of *operation) int { return of.nodes })
	case c.moves && c.mover.oneIn(movesOneIn):
		o.Kind = drawKind(&c.mover, func(of *operation) int { return of.moves })
	case c.rare && c.seldom.oneIn(rareOneIn):
		o.Kind = drawKind(&c.seldom, func(of *operation) int { return of.rare })
	case c.rand.below(100) >= c.readShare:
		o.Kind = drawKind(&c.rand, func(of *operation) int { return of.share })
	}
	if (o.Kind == OpZero || o.Kind == OpBlank) && c.volume.base != nil {
		o.Kind = OpWrite
	}
	kind := &operations[o.Kind]
	o.FUA = kind.fuaOneIn > 0 && c.rand.oneIn(kind.fuaOneIn)
	if !kind.blocks {
		return o
	}
	first, count := c.rand.below(c.volume.plan.Hot), 1
	if c.rand.oneIn(3) {
		count = c.rand.between(1, min(c.volume.plan.Blocks-first, 20))
	}
	o.Range = block.Range{First: block.Block(first), Count: uint32(count)}
	return o
}

// How many operations of a client there are for one of the rare ones, for one that
// changes copies, for one that asks something of a node, and for one that takes its
// volume back to a snapshot or deletes it.
const (
	rareOneIn    = 20
	movesOneIn   = 60
	drainsOneIn  = 100
	restoreOneIn = 200
)

// drawKind draws a kind by shares.
func drawKind(s *stream, share func(*operation) int) OperationKind {
	sum := 0
	for i := range operations {
		sum += share(&operations[i])
	}
	n := s.below(sum)
	k := OpRead
	for ; n >= share(&operations[k]); k++ {
		n -= share(&operations[k])
	}
	return k
}

// askDevice asks a device for an operation, cut at chunks, unless its blocks are
// crowded.
func (c *client) askDevice(of *operation, o Operation) {
	rest := o.Range
	if c.volume.crowded(rest) || int(rest.End()) > c.mount.blocks {
		return
	}
	c.note(&o)
	if rest.Empty() {
		c.requestOf(of, of.request, false, rest)
		return
	}
	c.asking = &operationAsked{whole: rest}
	for !rest.Empty() {
		r := rest
		if over := int(r.First)%block.PerChunk + int(r.Count) - block.PerChunk; over > 0 {
			r.Count -= uint32(over)
		}
		c.requestOf(of, of.request, o.FUA, r)
		rest.First, rest.Count = rest.First+block.Block(r.Count), rest.Count-r.Count
	}
	c.asking = nil
}
