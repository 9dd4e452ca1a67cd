package orchestrator

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
)

// flight is a transaction under way. It is issued, with the same guards, until
// its outcome is definite, so that it is applied at most once.
//
//	issued ──▶ unknown ──(pause)──▶ issued again
//	  └──────▶ applied or refused ──▶ the view learns ──▶ landed
type flight struct {
	txn       metadata.Txn
	tries     uint32
	operation *operation     // whose, or nil for one of reconciliation
	upkeep    bool           // of reconciliation: it attaches the volume for that
	onward    bool           // of an operation that goes on when it was applied
	volume    block.VolumeID // to be reconciled again when it has landed
	key       string         // of reconciliation: what it writes; one at a time
}

// launch issues a transaction that is guarded, reads what it guards, and wakes
// an operation when it has landed.
func (o *Orchestrator) launch(f *flight, out *step.Effects) {
	for _, g := range f.txn.Guards {
		f.txn.Read = append(f.txn.Read, g.Key)
	}
	o.lastFlight = max(1, o.lastFlight+1)
	for o.flights[o.lastFlight] != nil {
		o.lastFlight = max(1, o.lastFlight+1)
	}
	o.flights[o.lastFlight] = f
	o.issue(o.lastFlight, f, out)
}

// write launches a transaction of reconciliation unless one for the same key is
// under way. A volume for which there are too many comes to its turn later. It
// reports whether it was launched.
func (o *Orchestrator) write(key string, id block.VolumeID, txn metadata.Txn, out *step.Effects) (launched bool) {
	if o.writing[key] {
		return false
	}
	if len(o.writing) >= writesMax && id != (block.VolumeID{}) {
		out.Marks.Hit("orchestrator: write of reconciliation put off")
		if !o.waiting[id] {
			o.waiting[id] = true
			o.postponed = append(o.postponed, id)
		}
		return false
	}
	o.writing[key] = true
	o.launch(&flight{txn: txn, volume: id, key: key}, out)
	return true
}

// resume has as many volumes reconciled again as there is room for their writes.
func (o *Orchestrator) resume() {
	n := min(len(o.postponed), max(0, writesMax-len(o.writing)))
	for _, id := range o.postponed[:n] {
		delete(o.waiting, id)
		o.dirty[id] = true
	}
	o.postponed = o.postponed[n:]
}

func (o *Orchestrator) issue(number uint32, f *flight, out *step.Effects) {
	f.tries++
	out.Transactions = append(out.Transactions, step.Transaction{
		Tag: step.Tag{Slot: number, Generation: f.tries},
		Txn: f.txn,
	})
}

func (o *Orchestrator) onTransaction(tag step.Tag, res *metadata.Result, out *step.Effects) {
	f := o.flights[tag.Slot]
	if f == nil || f.tries != tag.Generation {
		return // given up meanwhile
	}
	if res.Outcome == metadata.Unknown {
		out.Marks.Hit("orchestrator: transaction of unknown outcome re-issued")
		pause := min(reissueAfter<<min(f.tries-1, 10), reissueMax)
		out.After(o.now, pause, tag)
		return
	}
	delete(o.flights, tag.Slot)
	o.view.Answered(o.now, &f.txn, res)
	if f.operation != nil {
		o.landed(f, res, out)
		return
	}
	delete(o.writing, f.key)
	if l := o.volumes[f.volume]; l != nil && f.upkeep {
		l.attaching = false
	}
	if res.Outcome == metadata.Refused {
		out.Marks.Hit("orchestrator: write of reconciliation refused")
	}
	o.dirty[f.volume] = true
	o.machines = true
}
