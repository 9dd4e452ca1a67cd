package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/coordinator"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/sim/disk"
)

// Profile says which kinds of fault a plan may draw from.
type Profile string

// The profiles: the pure ones always run, Swarm draws a subset of everything.
const (
	Quiet        Profile = "none"
	NetworkOnly  Profile = "network"
	DiskOnly     Profile = "disk"
	MetadataOnly Profile = "metadata"
	Swarm        Profile = "swarm"
)

// Profiles returns all of them.
func Profiles() []Profile { return []Profile{Quiet, NetworkOnly, DiskOnly, MetadataOnly, Swarm} }

// Known reports whether there is such a profile.
func (p Profile) Known() bool { return slices.Contains(Profiles(), p) }

// Plan is everything about a run that is decided before it starts: data, so
// that it can be shown, and cut down when it fails.
type Plan struct {
	Seed      uint64
	Profile   Profile
	Nodes     int
	BlockSize int
	Volumes   []VolumePlan
	Clients   []ClientPlan
	Faults    []Fault
	Scripted  bool          // clients follow their scripts, and draw nothing
	Safety    time.Duration // of virtual time with faults
	Liveness  time.Duration // within which everything must work after them

	LatencyMin, LatencyMax   time.Duration // of one frame, before tails
	TailOneIn                int           // frames that take 10 to 100 times as long; 0: none
	Wire                     bool          // messages are encoded and decoded on their way
	Keepalive                time.Duration // after which a silent connection is broken
	MetadataMin, MetadataMax time.Duration // of one way to the metadata store
	WatchLag                 time.Duration
	UnknownPPM               int // transactions whose outcome is not told, per million
	TimerLateMax             time.Duration
	ProbeOneIn               int           // acknowledged flushes whose promise is looked for on the disks
	ReviveAfter              time.Duration // a node whose disk stopped is restarted
	ClockPPM                 []int         // by node
	ClocksOutside            bool          // rates beyond what the protocol tolerates: reads are not judged
	DiskFaults               disk.Faults
	DiskSize                 int64
	JournalBytes             int64
	Limits                   store.Limits
	WindowOps                int           // that a coordinator keeps of what may be lost; 0: as many as in production
	WindowKept               time.Duration // for members that were put out
	Full                     bool          // the disks hold less than the volume
	Snapshots                int           // that a volume has at once, at most; 0: none are taken
	Clones                   int           // volumes that are made of snapshots, at most
	Restores                 bool          // volumes go back to snapshots
	Deletes                  bool          // volumes are deleted of which there are clones
	Copies                   bool          // clients have copies added, moved and removed
	Grows                    bool          // and their volumes grow
	Drains                   bool          // they have nodes drained and cordoned
	Maps                     bool          // they ask where there is data
	HealAfter                time.Duration // after which lost copies are made anew; 0: never
	Survival                 bool          // devices outlive the processes that serve them
	ReplyMax                 time.Duration // that a reply takes to their devices then
	Canary                   bool          // the judges are not told of losses: see Canary
}

// VolumePlan is one volume.
type VolumePlan struct {
	Blocks  int
	First   int   // blocks that it begins with; 0: all
	Hot     int   // the first blocks, which clients use
	Members []int // nodes
}

// ClientPlan is one client.
type ClientPlan struct {
	Volume     int
	Operations int
	Depth      int // requests at once
	Think      time.Duration
	ReadShare  int           // percent
	Patience   time.Duration // before it goes to another node
	Script     []Operation   // of a scripted plan: all that it asks for
}

// ReplayCommand is the command that runs the plan of a seed again.
func (p *Plan) ReplayCommand() string {
	command := fmt.Sprintf("go test ./sim -run TestSeed -seed=0x%x", p.Seed)
	if p.Profile != Swarm {
		command += " -profile=" + string(p.Profile)
	}
	return command
}

// ShrinkCommand is the command that makes a failing seed small.
func (p *Plan) ShrinkCommand() string {
	command := fmt.Sprintf("make shrink SEED=0x%x", p.Seed)
	if p.Profile != Swarm {
		command += " PROFILE=" + string(p.Profile)
	}
	return command
}

// clockBoundPPM is half of what two clocks' rates may differ by.
const clockBoundPPM = 45_000

// NewPlan draws a plan from a seed.
func NewPlan(seed uint64, profile Profile) *Plan {
	s := newStream(seed, "plan", 0)
	p := &Plan{Seed: seed, Profile: profile, Nodes: 3 + s.below(3)}
	p.SetBlockSize(64)
	if s.oneIn(3) {
		p.Nodes = 3
	}
	if s.oneIn(8) {
		p.Nodes = 7
	}
	if s.oneIn(8) {
		p.SetBlockSize(4096)
	}
	p.JournalBytes = int64(s.logBetween(64<<10, 2<<20))
	p.Limits = store.Limits{
		BatchRecords: s.logBetween(1, 64), BatchBytes: s.logBetween(4<<10, 256<<10),
		IndexEntries: s.logBetween(16, 4096), CacheBytes: s.logBetween(64<<10, 4<<20),
	}
	p.drawWindow()
	p.Safety = s.logSpan(8*time.Second, 40*time.Second)
	p.Liveness = 120 * time.Second
	p.drawVolumes(&s)
	p.drawClients(&s)
	p.drawDelays(&s)
	p.drawClocks(&s)
	p.drawFaults()
	p.drawFull()
	p.drawSnapshots()
	p.drawJoin()
	p.drawPlacement()
	p.drawGrowth()
	p.drawDrains()
	p.drawMaps()
	p.drawSurvival()
	return p
}

// drawWindow: in a third of all runs whoever was put out is filled.
func (p *Plan) drawWindow() {
	s := newStream(p.Seed, "window", 0)
	if !s.oneIn(3) {
		p.WindowKept = s.logSpan(time.Second, coordinator.DefaultWindow().Kept)
	}
	if !s.oneIn(3) {
		p.WindowOps = s.logBetween(8, 512)
	}
}

func (p *Plan) window() coordinator.Window {
	w := coordinator.DefaultWindow()
	w.Kept = p.WindowKept
	if p.WindowOps > 0 {
		w.Ops = p.WindowOps
	}
	return w
}

func (p *Plan) drawVolumes(s *stream) {
	for range s.between(1, 2) {
		v := VolumePlan{Blocks: s.logBetween(8, 64)}
		v.Hot = s.logBetween(min(4, v.Blocks), v.Blocks)
		nodes := make([]int, p.Nodes)
		for i := range nodes {
			nodes[i] = i
		}
		shuffle(s, nodes)
		copies := 2
		switch s.below(6) {
		case 0:
			copies = 1
		case 1, 2:
			copies = 3
		}
		v.Members = slices.Clone(nodes[:copies])
		p.Volumes = append(p.Volumes, v)
	}
}

func (p *Plan) drawClients(s *stream) {
	operations := s.logBetween(300, 4000)
	count := s.between(2, 5)
	for i := range count {
		c := ClientPlan{
			Volume: i % len(p.Volumes), Operations: operations / count, Depth: s.logBetween(1, 4),
			ReadShare: [...]int{10, 40, 40, 70, 95}[s.below(5)], Patience: s.logSpan(time.Second, 12*time.Second),
		}
		c.Think = p.Safety / time.Duration(c.Operations+1)
		p.Clients = append(p.Clients, c)
	}
}

// Ask gives the clients that many turns in all, under the same load: the run takes
// longer, its faults lie as far apart as that makes them, and as many flushes in
// all are looked for on the disks.
func (p *Plan) Ask(operations int) {
	before := 0
	for i := range p.Clients {
		before += p.Clients[i].Operations
	}
	longer := func(d time.Duration) time.Duration {
		return time.Duration(float64(d) * float64(operations) / float64(before))
	}
	p.Safety = longer(p.Safety)
	p.ProbeOneIn = max(1, p.ProbeOneIn*operations/before)
	for i := range p.Clients {
		c := &p.Clients[i]
		c.Operations = operations / len(p.Clients)
		c.Think = p.Safety / time.Duration(c.Operations+1)
	}
	for i := range p.Faults {
		p.Faults[i].At = longer(p.Faults[i].At)
	}
}

// SetBlockSize makes the blocks of the volumes that large.
func (p *Plan) SetBlockSize(size int) {
	p.BlockSize, p.DiskSize = size, 16<<20
	if size > 64 {
		p.DiskSize = 64 << 20
	}
}

func (p *Plan) drawDelays(s *stream) {
	p.LatencyMin = s.logSpan(5*time.Microsecond, 200*time.Microsecond)
	p.LatencyMax = p.LatencyMin + s.logSpan(time.Microsecond, 2*time.Millisecond)
	if !s.oneIn(4) {
		p.TailOneIn = 16
	}
	p.Keepalive = s.logSpan(2*time.Second, 10*time.Second)
	p.MetadataMin = s.logSpan(200*time.Microsecond, 2*time.Millisecond)
	p.MetadataMax = p.MetadataMin + s.logSpan(100*time.Microsecond, 20*time.Millisecond)
	p.WatchLag = s.logSpan(time.Millisecond, 50*time.Millisecond)
	p.TimerLateMax = s.logSpan(time.Microsecond, 3*time.Millisecond)
	p.Wire = s.oneIn(4)
	p.ProbeOneIn = s.logBetween(2, 32)
	p.ReviveAfter = s.logSpan(5*time.Second, 20*time.Second)
}

func (p *Plan) drawClocks(s *stream) {
	bound := clockBoundPPM
	if p.Profile == Swarm && s.oneIn(8) {
		bound, p.ClocksOutside = 400_000, true
	}
	if s.oneIn(3) && !p.ClocksOutside {
		bound = 0
	}
	for range p.Nodes {
		p.ClockPPM = append(p.ClockPPM, s.between(-bound, bound))
	}
}
