package local

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/store"
)

// Volume is the only copy of a volume. Its disk's lock guards it.
type Volume struct {
	disk     *Disk
	handle   store.Handle
	blocks   uint64
	at       block.Position // of the last record
	durable  block.Seq
	stable   block.Seq
	accepted line
	flushed  line
}

// Create makes a volume; n tells those of a disk apart.
func (d *Disk) Create(n byte, size int64) (*Volume, error) {
	v := &Volume{disk: d, blocks: uint64(size / block.Size), at: block.Position{Era: 1}}
	l := newWaiter()
	d.step(func(t *turn) {
		token := d.await(l)
		meta := store.Meta{Complete: true}
		h, status := d.store.Create(d.params.Clock(), block.ReplicaID{n}, block.VolumeID{n}, v.blocks, store.Image{}, meta, token, &t.Effects)
		if status != message.OK {
			delete(d.waiting, token)
			l.end(errorOf(status), t)
			return
		}
		v.handle = h
		d.volumes[h] = v
	})
	return v, l.wait()
}

// Size returns the volume's bytes.
func (v *Volume) Size() int64 { return int64(v.blocks) * block.Size }

// settle tells the store what is stable: all that is durable.
func (v *Volume) settle(t *turn) {
	if v.durable > v.stable {
		v.stable = v.durable
		v.disk.store.SetStable(v.disk.params.Clock(), v.handle, v.stable, &t.Effects)
	}
}

// append puts l's record into the volume's stream and makes l wait for it.
func (v *Volume) append(l *Lane, payload block.Buffer, t *turn) {
	v.settle(t)
	l.record.Position = block.Position{Era: v.at.Era, Seq: v.at.Seq + 1}
	if status := v.disk.store.Append(v.disk.params.Clock(), v.handle, l.record, payload, &t.Effects); status != message.OK {
		payload.Release()
		l.end(errorOf(status), t)
		return
	}
	v.at = l.record.Position
	v.accepted.push(v.at.Seq, l)
}

// line is lanes that wait for records of a stream, in its order.
type line struct {
	places []place
	first  int
}

type place struct {
	seq  block.Seq
	lane *Lane
}

func (q *line) push(seq block.Seq, l *Lane) {
	if q.first*2 >= len(q.places) {
		q.places, q.first = q.places[:copy(q.places, q.places[q.first:])], 0
	}
	q.places = append(q.places, place{seq, l})
}

func (q *line) upTo(seq block.Seq, t *turn) {
	for q.first < len(q.places) && q.places[q.first].seq <= seq {
		q.places[q.first].lane.end(nil, t)
		q.first++
	}
}

func (q *line) fail(err error, t *turn) {
	for _, p := range q.places[q.first:] {
		p.lane.end(err, t)
	}
	q.places, q.first = q.places[:0], 0
}

func errorOf(status message.Status) error {
	if status == message.OK {
		return nil
	}
	return fmt.Errorf("the store answers with status %d", status)
}
