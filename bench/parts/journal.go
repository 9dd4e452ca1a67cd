package parts

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
)

const (
	diskBytes = 1 << 30
	// syncEvery records are made durable and stable, so that they can leave the
	// journal: what a coordinator does every second.
	syncEvery = 4096
	// turnsMax bounds the operations that one call waits for: a full journal has
	// to be written home first.
	turnsMax = 1 << 20
)

var errStuck = errors.New("the store waits for nothing and has not accepted a record")

// journalPart appends records of one block to a store on a real disk, batch at
// a time, each batch accepted before the next. The caller performs the disk's
// operations itself: no worker, no wake-up.
func journalPart(batch int) Part {
	return Part{
		Name: fmt.Sprintf("journal-4k/batch-%d", batch),
		Ops:  batch,
		Open: func(_ context.Context, p Params) (*Opened, error) {
			j := &journal{clock: p.Clock}
			if err := j.open(&p); err != nil {
				return nil, errors.Join(err, j.close())
			}
			data := reference.Noise(p.Pool, block.Size, 1)
			sums := block.ChecksumsOf(data.Bytes(), block.Size)
			return &Opened{
				One:   func() error { return j.write(batch, data, sums) },
				Close: func() error { data.Release(); return j.close() },
			}, nil
		},
	}
}

// journal is a store with one replica, and its body.
type journal struct {
	disk     *diskio.File
	clock    func() step.Time
	store    *store.Store
	handle   store.Handle
	out      step.Effects
	ops      []step.DiskOp
	event    step.Event
	seq      block.Seq
	opened   bool
	created  bool
	accepted block.Seq
	durable  block.Seq
	failed   error
}

func (j *journal) open(p *Params) (err error) {
	if j.disk, err = diskio.Open(filepath.Join(p.Dir, "journal.disk"), diskBytes); err != nil {
		return err
	}
	geometry := store.Geometry{Disk: block.DiskID{1}, Capacity: diskBytes, BlockSize: block.Size}
	if err := j.disk.Format(geometry, p.Pool, 1, j.clock); err != nil {
		return err
	}
	j.store = store.New(store.Params{Pool: p.Pool, Seed: 2})
	j.store.Open(j.clock(), diskBytes, &j.out)
	if err := j.until(func() bool { return j.opened }); err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	h, status := j.store.Create(j.clock(), block.ReplicaID{1}, block.VolumeID{1}, diskBytes/4/block.Size, store.Image{}, store.Meta{Complete: true}, 1, &j.out)
	if status != message.OK {
		return fmt.Errorf("create a replica: status %d", status)
	}
	j.handle = h
	return j.until(func() bool { return j.created })
}

func (j *journal) close() error {
	if j.disk == nil {
		return nil
	}
	return j.disk.Close()
}

// write appends batch records and returns when they are accepted.
func (j *journal) write(batch int, data block.Buffer, sums block.Checksums) error {
	for range batch {
		j.seq++
		record := message.Record{
			Position: block.Position{Era: 1, Seq: j.seq}, Op: message.OpWrite, Checksums: sums,
			Range: block.Range{First: block.Block(uint64(j.seq) * stride % (diskBytes / 4 / block.Size)), Count: 1},
		}
		if status := j.store.Append(j.clock(), j.handle, record, data.Retain(), &j.out); status != message.OK {
			return fmt.Errorf("append record %d: status %d", j.seq, status)
		}
	}
	if err := j.until(func() bool { return j.accepted >= j.seq }); err != nil {
		return err
	}
	if uint64(j.seq)/syncEvery == uint64(j.seq-block.Seq(batch))/syncEvery {
		return nil
	}
	j.store.Sync(j.clock(), j.handle, &j.out)
	if err := j.until(func() bool { return j.durable >= j.seq }); err != nil {
		return err
	}
	j.store.SetStable(j.clock(), j.handle, j.seq, &j.out)
	return j.until(func() bool { return len(j.ops)+len(j.out.Disk) == 0 })
}

// until performs the store's operations until done: the newest first, so that an
// append does not wait for what is on its way home. That has its turn when
// records are made durable.
func (j *journal) until(done func() bool) error {
	for range turnsMax {
		j.take()
		if done() || j.failed != nil {
			return j.failed
		}
		j.ops = append(j.ops, j.out.Disk...)
		j.out.Reset()
		if len(j.ops) == 0 {
			return errStuck
		}
		last := len(j.ops) - 1
		j.event = step.Event{Kind: step.EventDiskDone, Tag: j.ops[last].Tag, DiskError: j.disk.Perform(&j.ops[last])}
		j.ops = j.ops[:last]
		j.store.Step(j.clock(), &j.event, &j.out)
	}
	return errStuck
}

// take notes what the store has finished.
func (j *journal) take() {
	results := j.store.Results()
	for i := range results {
		r := &results[i]
		switch r.Kind {
		case store.Opened:
			j.opened = true
		case store.Failed:
			j.failed = fmt.Errorf("the store stopped: %s", r.Text)
		case store.RecordDone:
			j.created = true
		case store.Accepted:
			j.accepted = max(j.accepted, r.Position.Seq)
		case store.Durable:
			j.durable = max(j.durable, r.Position.Seq)
		default: // not asked for
		}
	}
}
