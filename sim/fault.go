package sim

import (
	"fmt"
	"slices"
	"time"
)

// FaultKind says what breaks.
type FaultKind uint8

// The faults.
const (
	FaultNone       FaultKind = iota
	CrashStep                 // Node's process dies in the middle of a step's effects; Pick bit 0: its host loses power
	KillProcess               // Node's process is killed
	LosePower                 // Node's host loses power
	LosePowerAll              // all hosts do, at once or one after the other within For
	PauseProcess              // Node's process stands still for For
	EmptyDisk                 // Node's disk is replaced by an empty one, with the power off
	OldDisk                   // Node's disk goes back to an older image, with the power off
	SlowDisk                  // Node's disk takes many times as long
	StallDisk                 // an operation of Node's disk takes For longer
	FailSync                  // a sync of Node's disk fails
	FailWrite                 // a write of Node's disk fails
	CutOneWay                 // Node cannot reach Peer
	PartitionNodes            // a shape drawn from Pick, for For
	ClogLink                  // nothing from Node arrives at Peer for For
	FlapLink                  // the link between Node and Peer comes and goes
	IsolateHolder             // the node that serves volume Pick reaches nobody for For
	PauseHolder               // the process that serves volume Pick stands still for For
	ResetConnection           // a connection breaks
	FlipBit                   // a bit of a frame flips
	MetadataOutage            // the metadata store answers nobody
	MetadataCut               // Node cannot reach the metadata store
	MetadataUnknown           // for a while most transactions' outcomes are not told
	WatchLags                 // changes reach the nodes late
	CompactWatches            // watches that are behind start anew
	ExpireLease               // Node's leased keys go away early
	MoveVolume                // volume Pick is attached elsewhere, by force
	DetachVolume              // volume Pick is detached in order and attached elsewhere
	AttachAgain               // volume Pick is attached anew where it is
	HandOverVolume            // volume Pick lingers, and another node asks for it without force
	CreateTwice               // Node and Peer create short-lived volume Pick, the same or one that differs
	DeleteAttached            // Node deletes short-lived volume Pick while Peer attaches it
	FailRead                  // a read of Node's disk fails, once
	MisdirectRead             // a read of Node's disk returns what lies elsewhere, once
	RotBit                    // a bit of a client's data on Node's disk flips for good
	SpoilSector               // a sector of it becomes unreadable until it is written
	ResetStalled              // the connections to Node break while its disk stalls
	MisdirectWrite            // a write of Node's disk goes to another place, once
	LoseWrite                 // a write of Node's disk is acknowledged and never arrives, once
	RotJournal                // a bit of the journal on Node's disk flips for good, mostly near its end
	SpoilJournal              // a sector of it becomes unreadable until it is written
	RotPage                   // a bit of a page of metadata on Node's disk flips for good
	SpoilPage                 // a sector of one becomes unreadable
	HarmSuperblocks           // some of the four superblocks of Node's disk rot or become unreadable
	LateLease                 // leases that run out are kept for For longer, or until everything heals
	HalfOpen                  // what Node sends over one of its connections is held up for For; it gives up, and nobody tells the other end
	JoinNode                  // Node, which was not there, joins; after For a volume by Pick may move to it
	StartScrub                // all that is on Node's disk is read
	KillHolder                // the process that serves volume Pick is killed, or will be while a reply is on its way; the others may lose power then
	FaultCount
)

func (k FaultKind) String() string {
	return [FaultCount]string{
		"none", "crash in a step", "kill", "power loss", "power loss of all", "pause", "empty disk", "old disk", "slow disk", "stalled disk",
		"failing sync", "failing write", "one-way cut", "partition", "clog", "flapping link", "isolated holder", "paused holder", "reset", "bit flip", "metadata outage",
		"metadata cut", "unknown transactions", "watch lag", "compaction", "early lease end", "forced move", "detach and attach", "attach again",
		"hand over", "creation twice", "deletion under attachment", "failing read", "misdirected read", "bit rot", "unreadable sector",
		"reset under a stall", "misdirected write", "lost write", "rot of the journal", "unreadable journal", "rot of a page", "unreadable page",
		"harmed superblocks", "late lease end",
		"half-open connection", "join", "scrub", "killed holder",
	}[k]
}

// unsettles reports whether a fault makes a disk lose, unnoticed, what lets a store
// be opened: its journal, its metadata.
func (k FaultKind) unsettles() bool { return k >= MisdirectWrite && k <= HarmSuperblocks }

// Fault is one thing that goes wrong at a certain time.
type Fault struct {
	At         time.Duration
	Kind       FaultKind
	Node, Peer int
	For        time.Duration
	Pick       uint64 // what else there is to choose
}

func (f *Fault) String() string {
	return fmt.Sprintf("%v: %v, node %d, peer %d, for %v, pick %x", f.At, f.Kind, f.Node, f.Peer, f.For, f.Pick)
}

// family is the kinds of fault that one profile draws from.
func family(p Profile) []FaultKind {
	network := []FaultKind{CutOneWay, PartitionNodes, ClogLink, FlapLink, IsolateHolder, ResetConnection, FlipBit}
	disks := []FaultKind{LosePower, LosePowerAll, CrashStep, SlowDisk, StallDisk, FailSync, FailWrite}
	stores := []FaultKind{MetadataOutage, MetadataCut, MetadataUnknown, WatchLags, CompactWatches, ExpireLease}
	operations := []FaultKind{MoveVolume, DetachVolume, AttachAgain}
	processes := []FaultKind{KillProcess, PauseProcess, PauseHolder, EmptyDisk, OldDisk}
	later := []FaultKind{HandOverVolume} // at the end: the others stay what they were
	races := []FaultKind{CreateTwice, DeleteAttached}
	damage := []FaultKind{FailRead, MisdirectRead, RotBit, SpoilSector, ResetStalled}
	leases := []FaultKind{LateLease}
	deep := []FaultKind{MisdirectWrite, LoseWrite, RotJournal, SpoilJournal, RotPage, SpoilPage, HarmSuperblocks}
	halves := []FaultKind{HalfOpen}
	scrubs := []FaultKind{StartScrub}
	switch p {
	case Quiet:
		return nil
	case NetworkOnly:
		return slices.Concat(network, operations, later, halves)
	case DiskOnly:
		return slices.Concat(disks, operations, later, damage, deep, scrubs)
	case MetadataOnly:
		return slices.Concat(stores, operations, later, races, leases)
	case Swarm:
		return slices.Concat(network, disks, stores, operations, processes, later, races, damage, deep, leases, halves, scrubs)
	}
	return nil
}

// drawFaults draws a random subset of the profile's faults and, for each, how
// often it strikes. Every kind has its own stream: taking one away leaves the
// others where they were.
func (p *Plan) drawFaults() {
	s := newStream(p.Seed, "faults", 0)
	rare := newStream(p.Seed, "deep", 0)
	deep := rare.oneIn(3) // the rest of the runs are judged without any doubt about what a disk lost
	for _, k := range family(p.Profile) {
		in := s.oneIn(3) || p.Profile != Swarm && s.oneIn(2) || (k == IsolateHolder || k == LosePowerAll) && s.oneIn(3)
		many := s.logBetween(1, 8)
		if !in || k.unsettles() && !deep {
			continue
		}
		if k == EmptyDisk || k == OldDisk || k == LosePowerAll || k.unsettles() {
			many = min(many, 2)
		}
		own := newStream(p.Seed, "fault", int(k))
		for range many {
			p.Faults = append(p.Faults, p.drawFault(&own, k))
		}
	}
	if k := newStream(p.Seed, "unknown", 0); p.Profile == Swarm && k.oneIn(3) || p.Profile == MetadataOnly {
		p.UnknownPPM = k.logBetween(1_000, 300_000)
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
}

func (p *Plan) drawFault(s *stream, k FaultKind) Fault {
	f := Fault{
		Kind: k, At: s.span(p.Safety/50, p.Safety), Node: s.below(p.Nodes), Pick: s.next(),
		For: s.logSpan(time.Millisecond, 8*time.Second),
	}
	f.Peer = (f.Node + 1 + s.below(p.Nodes-1)) % p.Nodes
	switch k {
	case LosePowerAll:
		f.For = s.logSpan(time.Microsecond, time.Second)
	case CutOneWay, PartitionNodes, MetadataCut, MetadataOutage, WatchLags, LateLease:
		f.For = s.logSpan(20*time.Millisecond, 12*time.Second)
	case IsolateHolder: // longer than a grant and the taking over together
		f.For = s.span(2*time.Second, 20*time.Second)
	case PauseHolder:
		f.For = s.span(time.Second, 10*time.Second)
	case ResetStalled:
		f.For = s.logSpan(time.Millisecond, 300*time.Millisecond)
	case SlowDisk:
		f.For = s.logSpan(100*time.Millisecond, 10*time.Second)
	default:
	}
	return f
}
