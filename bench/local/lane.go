package local

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
)

// Kind is what an operation does.
type Kind uint8

// The operations.
const (
	Write    Kind = iota // ends when it is accepted
	Flush                // ends when all that was written is durable
	Read                 // what is read is dropped
	Snapshot             // ends when its record is accepted: writes go to a new head from then on
	Delete               // of a snapshot, whose merge begins once that is stable
)

// Operation is what a lane is to do next.
type Operation struct {
	Kind   Kind
	Offset int64
	Length int
	Data   block.Buffer     // of a Write; it may be used again when that has ended
	Sums   []block.Checksum // of its blocks
	Layer  block.LayerID    // of a Snapshot and a Delete
}

// Lane is a caller with one operation under way.
type Lane struct {
	Operation

	volume *Volume
	then   func(err error) (again bool)
	left   int // parts of the operation that have not ended
	err    error
	record message.Record
	done   chan error // of one that waits
}

// Lane returns a lane. When its operation has ended, then is called, under the
// lock of the disk; if it returns true, what the lane's Operation says is begun at once.
func (v *Volume) Lane(then func(err error) (again bool)) *Lane { return &Lane{volume: v, then: then} }

// Begin begins what the lane's Operation says.
func (l *Lane) Begin() { l.volume.disk.step(l.begin) }

// Do performs an operation to its end.
func (v *Volume) Do(o Operation) error {
	l := newWaiter()
	l.Operation, l.volume = o, v
	l.Begin()
	return l.wait()
}

// newWaiter returns a lane that waits for one part of an operation.
func newWaiter() *Lane {
	l := &Lane{left: 1, done: make(chan error, 1)}
	l.then = func(err error) bool { l.done <- err; return false }
	return l
}

func (l *Lane) wait() error { return <-l.done }

// end notes the end of one part of l's operation.
func (l *Lane) end(err error, t *turn) {
	if err != nil {
		l.err = err
	}
	if l.left--; l.left == 0 {
		t.ended = append(t.ended, l)
	}
}

// begin calls the store: a write or read once for each chunk that it is in.
func (l *Lane) begin(t *turn) {
	v, d := l.volume, l.volume.disk
	l.left, l.err = 1, nil
	switch l.Kind {
	case Write, Read:
		first, n := block.Block(l.Offset/block.Size), l.Length/block.Size
		l.left = int((first+block.Block(n-1)).Chunk()-first.Chunk()) + 1
		for done := 0; done < n; {
			at := first + block.Block(done)
			part := min(n-done, block.PerChunk-at.Offset())
			l.part(block.Range{First: at, Count: uint32(part)}, done, t)
			done += part
		}
	case Flush:
		v.flushed.push(v.at.Seq, l)
		d.store.Sync(d.params.Clock(), v.handle, &t.Effects)
	case Snapshot:
		l.record = message.Record{Op: message.OpSnap, Layer: l.Layer}
		v.append(l, block.Buffer{}, t)
	case Delete:
		l.record = message.Record{Op: message.OpDelSnap, Layer: l.Layer}
		v.append(l, block.Buffer{}, t)
	}
}

// part begins the part of a write or read that lies in one chunk, done blocks
// behind its first.
func (l *Lane) part(r block.Range, done int, t *turn) {
	v, d := l.volume, l.volume.disk
	if l.Kind == Read {
		d.store.Read(d.params.Clock(), v.handle, 0, r, d.await(l), &t.Effects)
		return
	}
	n := int(r.Count)
	l.record = message.Record{Op: message.OpWrite, Range: r}
	copy(l.record.Checksums[:], l.Sums[done:done+n])
	v.append(l, l.Data.Slice(done*block.Size, (done+n)*block.Size).Retain(), t)
}

// await gives l a token to wait for.
func (d *Disk) await(l *Lane) (token uint64) {
	d.token++
	d.waiting[d.token] = l
	return d.token
}
