package tcp

import (
	"crypto/tls"
)

// output writes a batch to a socket. Only one goroutine at a time uses it.
type output interface {
	// write goes on with b until all of it is with the kernel, and reports
	// false when that needs waiting and wait is not set: the next call must
	// be with the same batch.
	write(b *batch, wait bool) (done bool, err error)
}

// place is how far an output has come in its batch.
type place struct {
	piece int // the next one
	head  int // where its head begins
}

// plainOutput hands the batch's own memory to the kernel.
type plainOutput struct {
	vector *vector
	at     place
}

func (o *plainOutput) write(b *batch, wait bool) (bool, error) {
	for {
		if done, err := o.vector.write(wait); !done || err != nil {
			return false, err
		}
		if o.at.piece == len(b.pieces) {
			o.at = place{}
			return true, nil
		}
		o.fill(b)
		o.vector.begin()
	}
}

// fill adds the next messages of b. The heads of messages without payload lie
// side by side and are one piece.
func (o *plainOutput) fill(b *batch) {
	for o.at.piece < len(b.pieces) && !o.vector.full() {
		p := b.pieces[o.at.piece]
		for o.at.piece++; p.payload.Empty() && o.at.piece < len(b.pieces); o.at.piece++ {
			p = b.pieces[o.at.piece]
		}
		o.vector.add(b.heads[o.at.head:p.end])
		o.vector.add(p.payload.Bytes())
		o.at.head = p.end
	}
}

// sealedOutput encrypts the batch, sealedMax at a time, and hands the result to
// the kernel. Messages are joined to full records first: a record costs more
// than the copy of what it holds.
type sealedOutput struct {
	secure *tls.Conn // writes into socket's sealed
	socket *socket
	vector *vector
	open   []byte // a record in the making
	at     place
}

func (o *sealedOutput) write(b *batch, wait bool) (bool, error) {
	for {
		if done, err := o.vector.write(wait); !done || err != nil {
			return false, err
		}
		o.socket.written()
		if o.at.piece == len(b.pieces) {
			o.at = place{}
			return true, nil
		}
		if err := o.seal(b); err != nil {
			return false, err
		}
		o.vector.add(o.socket.takeSealed())
		o.vector.begin()
	}
}

// seal encrypts the next messages of b.
func (o *sealedOutput) seal(b *batch) error {
	for size := 0; o.at.piece < len(b.pieces) && size < sealedMax; o.at.piece++ {
		p := &b.pieces[o.at.piece]
		size += p.end - o.at.head + p.payload.Len()
		if err := o.join(b.heads[o.at.head:p.end]); err != nil {
			return err
		}
		if err := o.join(p.payload.Bytes()); err != nil {
			return err
		}
		o.at.head = p.end
	}
	return o.emit()
}

// join adds data to the record in the making, emits it when it is full, and
// takes whole records straight from data.
func (o *sealedOutput) join(data []byte) error {
	for len(data) > 0 {
		if len(o.open) == 0 && len(data) >= record {
			if _, err := o.secure.Write(data[:record]); err != nil {
				return err
			}
			data = data[record:]
			continue
		}
		n := min(record-len(o.open), len(data))
		o.open = append(o.open, data[:n]...)
		data = data[n:]
		if len(o.open) == record {
			if err := o.emit(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *sealedOutput) emit() error {
	if len(o.open) == 0 {
		return nil
	}
	_, err := o.secure.Write(o.open)
	o.open = o.open[:0]
	return err
}
