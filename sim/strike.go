package sim

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/disk"
)

// planFaults schedules every fault of the plan.
func (w *World) planFaults() {
	for i := range w.plan.Faults {
		f := &w.plan.Faults[i]
		if f.Kind == OldDisk {
			w.keepImage(w.bodies[f.Node], time.Duration(f.Pick%uint64(f.At+1)))
		}
		w.after(f.At, callFault, func() {
			if !w.healed {
				w.incur(f)
			}
		})
	}
}

// keepImage notes the durable content of a disk at a moment, to return to.
func (w *World) keepImage(b *body, at time.Duration) {
	w.after(at, callFault, func() {
		d := b.drives[0]
		d.old = oldImage{kept: true, content: d.device.Snapshot(), damaged: d.damaged, unsound: d.unsound}
	})
}

// strike makes one fault happen, if the atlas allows it.
func (w *World) strike(f *Fault) {
	b, peer := w.bodies[f.Node], w.bodies[f.Peer]
	w.tracef(nil, "fault %v", f)
	w.counts.Faults[f.Kind]++
	switch f.Kind {
	case CrashStep, KillProcess, LosePower, LosePowerAll, PauseProcess, PauseHolder, EmptyDisk, OldDisk, KillHolder:
		w.strikeProcess(f, b)
	case SlowDisk, StallDisk, FailSync, FailWrite:
		w.strikeDisk(f, b)
	case CutOneWay, PartitionNodes, ClogLink, FlapLink, IsolateHolder, ResetConnection, FlipBit, HalfOpen:
		w.strikeNetwork(f, b, peer)
	case MetadataOutage, MetadataCut, MetadataUnknown, WatchLags, CompactWatches, ExpireLease, LateLease:
		w.strikeMetadata(f, b)
	case MoveVolume, DetachVolume, AttachAgain, HandOverVolume:
		w.strikeVolume(f)
	case CreateTwice, DeleteAttached:
		w.strikeShortLived(f, b, peer)
	case FailRead, MisdirectRead, RotBit, SpoilSector, ResetStalled:
		w.strikeDamage(f, b)
	case MisdirectWrite, LoseWrite, RotJournal, SpoilJournal, RotPage, SpoilPage, HarmSuperblocks:
		w.strikeDeep(f, b)
	case JoinNode:
		w.join(f, b)
	case StartScrub:
		w.scrub(f, b)
	case FaultNone, FaultCount:
	}
}

func (w *World) strikeProcess(f *Fault, b *body) {
	switch f.Kind {
	case CrashStep:
		if b.life == 0 {
			return
		}
		// Where writes are pending a crash finds most: nine of ten wait for that.
		b.armed = &crashPlan{power: f.Pick&1 != 0, steps: 1 + int(f.Pick>>8%8), pending: f.Pick>>4%10 != 0, down: f.For}
	case KillProcess:
		w.stop(b, false, f.For)
	case KillHolder:
		w.killHolder(f)
	case LosePower:
		w.stop(b, true, f.For)
	case PauseProcess, PauseHolder:
		if f.Kind == PauseHolder {
			b = w.holder(f)
		}
		b.pause(w.now + int64(f.For))
		w.counts.Pauses++
	case EmptyDisk, OldDisk:
		w.replaceDisk(f, b)
	case LosePowerAll:
		if f.Pick&2 != 0 { // right after a flush was acknowledged: now all depends on it
			w.onFlush = append(w.onFlush, func() { w.blackout(f) })
			return
		}
		w.blackout(f)
	default:
	}
}

// blackout takes the power from all hosts, at once or one after the other.
func (w *World) blackout(f *Fault) {
	if w.healed {
		return
	}
	for i, o := range w.bodies {
		late := time.Duration(0)
		if f.Pick&1 != 0 {
			late = time.Duration(scramble(f.Pick+uint64(i)) % uint64(f.For+1))
		}
		back := time.Duration(scramble(f.Pick^uint64(i)<<8) % uint64(4*time.Second))
		w.after(late, callFault, func() {
			if !w.healed {
				w.stop(o, true, back)
			}
		})
	}
}

// holder returns the node that a fault's volume is attached to, or the node of
// the fault if there is none.
func (w *World) holder(f *Fault) *body {
	if b := w.bodyOf(w.volumes[f.Pick%uint64(len(w.volumes))].attachment.Node); b != nil {
		return b
	}
	return w.bodies[f.Node]
}

// replaceDisk takes the power off, changes what is in the disk's slot, and lets
// the host start again.
func (w *World) replaceDisk(f *Fault, b *body) {
	d := b.drives[0]
	if !w.sparable(b, 0) || f.Kind == OldDisk && !d.old.kept {
		w.counts.Faults[f.Kind]--
		return
	}
	w.stop(b, true, f.For)
	if f.Kind == OldDisk {
		w.tracef(b, "disk 0 goes back to an older image")
		d.restore()
		w.harm(b, 0, false)
		return
	}
	w.harm(b, 0, true)
	w.insertDisk(b, 0)
	w.tracef(b, "disk 0 is replaced by an empty one")
}

// restore puts the older image back. What was harmed since is whole in it, and a
// disk that was refused for that is not any more.
func (d *drive) restore() {
	d.device.Restore(d.old.content)
	d.damaged, d.unsound, d.refused = d.old.damaged, d.old.unsound, false
	d.restored, d.hides, d.expected = true, true, nil
}

// sparable reports whether the protocol promises to survive the loss of a
// disk now: of every volume with a copy there, a copy that nothing happened to
// is in sync somewhere else.
func (w *World) sparable(b *body, drive int) bool {
	for _, v := range w.volumes {
		concerned := false
		for i := range v.config.Members {
			concerned = concerned || v.config.Members[i].Disk == b.drives[drive].id
		}
		if concerned && !v.solid(w, b) {
			return false
		}
	}
	return true
}

// solid reports whether a copy outside b is in sync, recorded with the boot its
// host is in, and has every acknowledged write.
func (v *volumeState) solid(w *World, without *body) bool {
	for i := range v.config.Members {
		m := &v.config.Members[i]
		b := w.bodyOf(m.Node)
		state := v.member(m.Replica)
		if b != without && m.State == volume.InSync && !state.wounded && !state.gone && b.life != 0 && m.BootID == b.boot && b.drives[0].taint == 0 && !b.drives[0].damaged {
			return true
		}
	}
	return false
}

// harm notes that the content of a disk is older than it was, or gone for ever.
func (w *World) harm(b *body, drive int, gone bool) {
	for _, v := range w.volumes {
		for i := range v.config.Members {
			if m := &v.config.Members[i]; m.Disk == b.drives[drive].id {
				_, complete := w.durableOf(m)
				*v.member(m.Replica) = memberState{
					wounded: true, since: w.now, old: true, unsound: b.drives[drive].unsound,
					gone: gone || !complete, // or from before it was whole
				}
			}
		}
		w.acquit(v)
	}
}

func (w *World) strikeDisk(f *Fault, b *body) {
	d := b.drives[0].device
	switch f.Kind {
	case SlowDisk:
		faults := w.plan.DiskFaults
		faults.Slow = 2 << (f.Pick % 8)
		d.SetFaults(faults)
		w.after(f.For, callHeal, func() { d.SetFaults(w.plan.DiskFaults) })
	case StallDisk:
		w.planDisk(d, disk.Stall, f.For)
	case FailSync, FailWrite:
		if !w.sparable(b, 0) {
			w.counts.Faults[f.Kind]--
			return
		}
		kind := disk.WriteError
		if f.Kind == FailSync {
			kind = disk.SyncFails + disk.Kind(f.Pick%3)
		}
		w.planDisk(d, kind, 0)
	default:
	}
}

// planDisk makes one of the next operations that a fault fits suffer it.
func (w *World) planDisk(d *disk.Disk, k disk.Kind, stall time.Duration) {
	faults := w.plan.DiskFaults
	faults.StallTime = stall
	for i := range uint64(8) {
		faults.Plan = append(faults.Plan, disk.Planned{Op: d.Ops() + 1 + i, Fault: k})
	}
	d.SetFaults(faults)
}

func (w *World) strikeMetadata(f *Fault, b *body) {
	m := w.metadata
	switch f.Kind {
	case MetadataOutage:
		m.down++
		w.after(f.For, callHeal, func() { m.down = max(0, m.down-1) })
	case MetadataCut:
		m.cut(b)
		w.after(f.For, callHeal, func() { m.mend(b) })
	case MetadataUnknown:
		m.unknown = 700_000
		w.after(f.For, callHeal, func() { m.unknown = min(m.unknown, w.plan.UnknownPPM) })
	case WatchLags:
		m.lag = f.For
		w.after(f.For, callHeal, func() { m.lag = min(m.lag, w.plan.WatchLag) })
	case CompactWatches:
		m.compact()
	case ExpireLease:
		m.expire(b)
	case LateLease:
		m.holdLeases(f.For, f.Pick&3 == 0)
	default:
	}
}

func (w *World) strikeVolume(f *Fault) {
	i := int(f.Pick % uint64(len(w.volumes)))
	v, want := w.volumes[i], &w.operator.wants[i]
	switch f.Kind {
	case MoveVolume:
		w.counts.Moves++
		w.operator.moveTo(v, want, w.operator.another(v, want.node))
	case DetachVolume:
		w.operator.detach(v, want, w.operator.another(v, want.node))
	case AttachAgain: // its device goes away, by force, and comes back
		if b := w.bodies[want.node]; b.life != 0 {
			w.operator.send(b, volume.Command{Kind: volume.DetachVolume, Name: v.name, Force: true})
		}
		w.operator.attach(v, want)
	case HandOverVolume:
		w.operator.handOver(v, want, w.operator.another(v, want.node))
	default:
	}
}

// insertDisk puts a new, formatted disk into a slot.
func (w *World) insertDisk(b *body, slot int) {
	d := b.drives[slot]
	d.lives++
	d.id = block.DiskID(id('d', b.index, slot<<4|d.lives))
	d.device = disk.New(disk.Params{
		Size: w.plan.DiskSize, Seed: scramble(w.plan.Seed ^ uint64(b.index)<<16 ^ uint64(d.lives)), Faults: w.plan.DiskFaults,
		Memory: &w.memory.disks,
	})
	d.taint, d.old, d.restored, d.damaged, d.misread = 0, oldImage{}, false, false, disk.None
	d.scrub = nil
	d.unsound, d.refused, d.hides, d.miswrite, d.expected = false, false, false, disk.None, nil
	w.makers.format(w, d)
}
