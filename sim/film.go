package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/linearizability"
)

// Film records what can be seen of a run from outside, for the page that shows a
// failure. A run without one pays for a comparison with nil.
type Film struct {
	Shots []Shot
}

// Shot is one thing that happened. Which fields mean something depends on Kind.
type Shot struct {
	At     int64    `json:"t"`           // virtual nanoseconds
	Step   uint64   `json:"s"`           // of the run: make replay prints the same number
	Kind   string   `json:"k"`           // see the constants
	Node   int      `json:"n"`           // -1: the world
	Peer   int      `json:"p,omitempty"` // of a message, a cut: the other node
	Volume int      `json:"v"`           // -1: none
	Until  int64    `json:"e,omitempty"` // of a message: its arrival; 0: it never arrived; underWay
	Text   string   `json:"x,omitempty"`
	Type   string   `json:"m,omitempty"` // of a message, a request
	Client int      `json:"c"`
	ID     uint64   `json:"r,omitempty"` // of a request
	First  int      `json:"b,omitempty"` // block
	Count  int      `json:"w,omitempty"`
	Values []string `json:"d,omitempty"` // of those blocks
	Number uint64   `json:"q,omitempty"` // records up to here (ACK), this record (APPEND), epoch, un-synced writes
	Era    uint64   `json:"y,omitempty"` // of an APPEND: the epoch of the coordinator that sends it
	Status string   `json:"u,omitempty"` // of a message: not OK
	States []string `json:"g,omitempty"` // of a configuration: "n1 in-sync"
	Blamed int      `json:"a,omitempty"` // of a request: its number, from 1, in the contradiction
	op     linearizability.Op
	shard  string // that did it; of a message: that sends it
	peer   string // the shard that a message is for
}

// underWay is the arrival of a message that the end of the run came before.
const underWay = -1

// The kinds of shot.
const (
	shotNote     = "note"   // the world's own words
	shotUp       = "up"     // a process starts
	shotDown     = "down"   // a process ends, its host stays
	shotOff      = "off"    // a host loses power
	shotPause    = "pause"  // a process stands still until Until
	shotFault    = "fault"  // a fault strikes
	shotCut      = "cut"    // nothing goes from Node to Peer
	shotMend     = "mend"   // it does again
	shotMessage  = "msg"    // from Node to Peer
	shotAsk      = "ask"    // a client asks
	shotAnswer   = "end"    // and is told
	shotConfig   = "config" // a volume's configuration changes
	shotServe    = "serve"  // a coordinator answers requests from now on
	shotCease    = "cease"  // and does no more: it was replaced, or is done
	shotUnsynced = "disk"   // un-synced writes of a disk
	shotTransfer = "io"     // a disk reads, writes or syncs until Until
	shotDecision = "txn"    // the metadata store decides a transaction
	shotBroken   = "broken" // what must hold does not
	shotHeal     = "heal"   // the safety phase is over
)

// shoot adds a shot of now.
func (w *World) shoot(s Shot) {
	s.At, s.Step = w.now, w.steps
	w.film.Shots = append(w.film.Shots, s)
}

// shootBody records what becomes of a process or host.
func (w *World) shootBody(kind string, b *body) {
	if w.film != nil {
		w.shoot(Shot{Kind: kind, Node: b.index, Volume: -1, Until: b.pausedUntil})
	}
}

// shootFault records a fault that is about to strike, and returns the shot's number.
func (w *World) shootFault(i *Incident) int {
	if w.film == nil {
		return 0
	}
	w.shoot(Shot{Kind: shotFault, Node: i.Whom, Volume: -1, Text: i.String(), Until: w.now + int64(i.Fault.For)})
	return len(w.film.Shots) - 1
}

// shootLink records that a direction is cut or mended.
func (w *World) shootLink(kind string, from, to int) {
	if w.film != nil {
		w.shoot(Shot{Kind: kind, Node: from, Peer: to, Volume: -1})
	}
}

// shootFrame records a message once its fate is known.
func (w *World) shootFrame(c *conn, to int, f *frame, arrived bool) {
	if w.film == nil || f.kind != frameMessage {
		return
	}
	m := &f.message
	s := Shot{
		Kind: shotMessage, Node: c.ends[1-to].body.index, Peer: c.ends[to].body.index, Volume: w.volumeIndex(c.hello.Volume),
		Type: kindText(m.Kind), Text: strings.TrimPrefix(messageText(m), kindText(m.Kind)+" "), Number: uint64(max(m.Accepted, m.Record.Position.Seq)),
	}
	if m.Kind == message.Append {
		s.Era = uint64(m.Era)
	}
	if m.Status != message.OK {
		s.Status = statusText(m.Status)
	}
	if m.Duration != 0 {
		s.Text += fmt.Sprintf(" for %v", m.Duration)
	}
	var r block.Range
	switch {
	case m.Record.Op != message.OpInvalid:
		r = m.Record.Range
	case m.Kind == message.Push || m.Kind == message.Pulled:
		r = block.Range{First: block.Block(int(m.Chunk) * block.PerChunk), Count: block.PerChunk}
	case m.Kind == message.Data || m.Kind == message.Read:
		r = m.Range
	}
	s.First, s.Count = int(r.First), int(r.Count)
	if s.Volume >= 0 {
		s.Values = w.valuesOf(w.volumes[s.Volume], r, m)
	}
	if arrived {
		s.Until = w.now
	}
	s.shard, s.peer = shardName(c.ends[1-to].shard), shardName(c.ends[to].shard)
	s.At, s.Step = f.sent, f.sentStep
	w.film.Shots = append(w.film.Shots, s)
}

// valuesOf names what a message says about blocks.
func (w *World) valuesOf(v *volumeState, r block.Range, m *message.Message) (values []string) {
	size := w.plan.BlockSize
	data := m.Payload.Bytes()
	at := 0
	for i := range int(r.Count) {
		value := "–"
		switch {
		case m.Record.Op == message.OpZero || m.Zero>>i&1 != 0:
			value = "zeroes"
		case (m.Kind == message.Push || m.Kind == message.Pulled) && m.Present>>i&1 == 0:
		case len(data) == int(r.Count)*size: // at its place
			value = stampText(data[i*size:(i+1)*size], v.id, r.First+block.Block(i))
		case len(data) >= at+size:
			value = stampText(data[at:at+size], v.id, r.First+block.Block(i))
			at += size
		}
		values = append(values, value)
	}
	return values
}

// stampText names a block's content as linearizability does: writer:seq.
func stampText(data []byte, v block.VolumeID, b block.Block) string {
	s, err := linearizability.Decode(data, v, b)
	switch {
	case err != nil:
		return "damaged"
	case s.Seq == 0:
		return "zeroes"
	}
	return fmt.Sprintf("%d:%d", s.Writer, s.Seq)
}

func (w *World) stampTexts(v *volumeState, r block.Range, data []byte) (values []string) {
	size := w.plan.BlockSize
	for i := range len(data) / size {
		values = append(values, stampText(data[i*size:(i+1)*size], v.id, r.First+block.Block(i)))
	}
	return values
}

func (w *World) volumeIndex(id block.VolumeID) int {
	for i, v := range w.volumes {
		if v.id == id {
			return i
		}
	}
	return -1
}

// shootRequest records that a client asks (kind shotAsk) or is told (shotAnswer).
func (w *World) shootRequest(kind string, q *request, text string, data []byte) {
	if w.film == nil {
		return
	}
	how := q.of.name
	if q.fua {
		how += " fua"
	}
	w.shoot(Shot{
		Kind: kind, Node: q.mount.shard.body.index, Volume: w.volumeIndex(q.client.volume.id), Client: q.client.index, ID: q.id, Type: how,
		First: int(q.blocks.First), Count: int(q.blocks.Count), Text: text, Values: w.stampTexts(q.client.volume, q.blocks, data), op: q.op,
	})
}

func (w *World) shootConfig(v *volumeState, c *volume.Config) {
	if w.film == nil {
		return
	}
	s := Shot{Kind: shotConfig, Node: -1, Volume: w.volumeIndex(v.id), Number: uint64(c.Epoch), Text: configText(c)}
	if n := c.Coordinator; n != nil {
		s.Node = int(n.Node[1])
	}
	for i := range c.Members {
		s.States = append(s.States, fmt.Sprintf("n%d %s", c.Members[i].Node[1], c.Members[i].State))
	}
	w.shoot(s)
}

// shootControl records what a coordinator says about its volume.
func (w *World) shootControl(s *shard, c *step.Control) {
	if w.film == nil {
		return
	}
	switch c.Kind {
	case step.VolumeServing:
		w.shoot(Shot{Kind: shotServe, Node: s.body.index, Volume: w.volumeIndex(c.Volume), shard: shardName(s)})
	case step.VolumeFenced, step.VolumeDetached:
		w.shoot(Shot{Kind: shotCease, Node: s.body.index, Volume: w.volumeIndex(c.Volume), Text: controlName(c.Kind), shard: shardName(s)})
	default: // the rest cannot be seen from outside
	}
}

// shootTransfer records a disk operation, which takes so long if the process lives.
func (w *World) shootTransfer(s *shard, op *step.DiskOp, took time.Duration) {
	if w.film == nil {
		return
	}
	length := 0
	for _, p := range op.Pieces {
		length += p.Len()
	}
	w.shoot(Shot{
		Kind: shotTransfer, Node: s.body.index, Volume: -1, Type: diskText(op.Kind), Text: fmt.Sprintf("%d bytes at %d", length, op.Offset),
		Until: w.now + int64(took), shard: shardName(s),
	})
}

// shootDecision records what the metadata store makes of a transaction.
func (w *World) shootDecision(s *shard, t *metadata.Txn, r *metadata.Result) {
	if w.film != nil {
		w.shoot(Shot{Kind: shotDecision, Node: s.body.index, Volume: -1, Text: resultText(t, r), shard: shardName(s)})
	}
}

// shardName names a machine of a node for people.
func shardName(s *shard) string {
	switch s.kind {
	case diskShard:
		return fmt.Sprintf("disk %d", s.disk)
	case coordinatorShard:
		if i := s.body.world.volumeIndex(s.volume); i >= 0 {
			return fmt.Sprintf("coordinator v%d", i)
		}
		return "coordinator of a short-lived volume"
	case orchestratorShard:
	}
	return "orchestrator"
}

// shootDisk records how much a disk could lose.
func (w *World) shootDisk(b *body) {
	if w.film == nil {
		return
	}
	w.shoot(Shot{Kind: shotUnsynced, Node: b.index, Volume: -1, Number: uint64(b.drives[0].device.Unsynced())})
}

// finish ends the film: what is still under way is noted, and what the violation
// speaks of is blamed.
func (w *World) finish(v *Violation) {
	ended := len(w.film.Shots)
	for _, c := range w.network.conns {
		for i := range c.ends {
			for j := range c.ends[i].frames[c.ends[i].first:] {
				w.shootFrame(c, i, &c.ends[i].frames[c.ends[i].first+j], false)
			}
		}
	}
	for i := range w.film.Shots[ended:] {
		w.film.Shots[ended+i].Until = underWay
	}
	if v == nil {
		return
	}
	w.shoot(Shot{Kind: shotBroken, Node: -1, Volume: v.Volume, Text: v.Invariant + " does not hold: " + v.Text})
	if v.Found == nil {
		return
	}
	blamed := map[linearizability.Op]int{}
	for i, op := range v.Found.Ops {
		blamed[op] = i + 1
	}
	at := w.volumeIndex(v.Found.Volume)
	for i := range w.film.Shots {
		s := &w.film.Shots[i]
		if (s.Kind == shotAsk || s.Kind == shotAnswer) && s.Volume == at {
			s.Blamed = blamed[s.op]
		}
	}
}
