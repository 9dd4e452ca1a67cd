package sim

// Counts is what happened in a run, or in a batch of runs.
type Counts struct {
	Runs                int
	Steps               uint64
	Asked               int // requests
	Acknowledged        int
	Ambiguous           int
	Refused             int
	Kills               int
	DevicesKept         int // outlived their process, and went on
	DevicesLost         int // outlived it, and were torn down
	AskedAgain          int // requests of those that went on
	PowerLosses         int
	TotalLosses         int // of every copy of a volume at once
	EffectCrashes       int // in the middle of a step's effects
	Pauses              int
	Cuts                int
	Compactions         int
	UnknownTransactions int
	Takeovers           int
	Served              int // takeovers that came to serve
	Evictions           int
	Resyncs             int
	BusyResyncs         int // during which writes were acknowledged
	Copied              int // chunks, by resyncs
	Fenced              int
	Detaches            int
	Moves               int
	Joins               int
	Lingered            int // volumes whose container ended, for another node to ask for
	HandedOver          int // of them, those that it got
	DisksStopped        int
	StableAhead         int
	BlindEvictions      int // a copy was put out while the last other one had just lost power
	Reboots             int // of hosts with a tainted disk that a volume waited for
	Probes              int // of acknowledged flushes on the disks
	Stuck               int // volumes that rightly wait for a disk that is gone
	Reattached          int // volumes that said they stopped, and were attached anew
	Snapshots           int // asked for
	SnapshotsReady      int
	SnapshotsFailed     int // since the disks are full
	SnapshotReads       int
	Maps                int // that said where there is data
	Restores            int // volumes that went back to a snapshot
	Deletes             int // volumes that were deleted under their clones
	Clones              int
	CopiesWanted        int // by commands, and in place of lost ones
	CopiesAdded         int // to configurations
	CopiesDropped       int // from them
	Grown               int // volumes that got larger
	Drains              int // of nodes, asked for
	CopiesDrained       int // copies that are to be elsewhere for that, or were lost
	NoSpace             int // requests refused since the disks are full
	Unreadable          int // reads that no copy could answer any more
	Unsound             int // disks whose journal or metadata were damaged
	DisksRefused        int // of them, stores that ended or were refused
	Beyond              int // volumes that lost more than the protocol promises to survive
	Faults              [FaultCount]int
}

// Add adds the counts of another run.
func (c *Counts) Add(o *Counts) {
	c.Runs += o.Runs
	c.Steps += o.Steps
	c.Asked += o.Asked
	c.Acknowledged += o.Acknowledged
	c.Ambiguous += o.Ambiguous
	c.Refused += o.Refused
	c.Kills += o.Kills
	c.DevicesKept += o.DevicesKept
	c.DevicesLost += o.DevicesLost
	c.AskedAgain += o.AskedAgain
	c.PowerLosses += o.PowerLosses
	c.TotalLosses += o.TotalLosses
	c.EffectCrashes += o.EffectCrashes
	c.Pauses += o.Pauses
	c.Cuts += o.Cuts
	c.Compactions += o.Compactions
	c.UnknownTransactions += o.UnknownTransactions
	c.Takeovers += o.Takeovers
	c.Served += o.Served
	c.Evictions += o.Evictions
	c.Resyncs += o.Resyncs
	c.BusyResyncs += o.BusyResyncs
	c.Copied += o.Copied
	c.Fenced += o.Fenced
	c.Detaches += o.Detaches
	c.Moves += o.Moves
	c.Joins += o.Joins
	c.Lingered += o.Lingered
	c.HandedOver += o.HandedOver
	c.DisksStopped += o.DisksStopped
	c.StableAhead += o.StableAhead
	c.BlindEvictions += o.BlindEvictions
	c.Reboots += o.Reboots
	c.Probes += o.Probes
	c.Stuck += o.Stuck
	c.Reattached += o.Reattached
	c.Snapshots += o.Snapshots
	c.SnapshotsReady += o.SnapshotsReady
	c.SnapshotsFailed += o.SnapshotsFailed
	c.SnapshotReads += o.SnapshotReads
	c.Maps += o.Maps
	c.Restores += o.Restores
	c.Deletes += o.Deletes
	c.Clones += o.Clones
	c.CopiesWanted += o.CopiesWanted
	c.CopiesAdded += o.CopiesAdded
	c.CopiesDropped += o.CopiesDropped
	c.Grown += o.Grown
	c.Drains += o.Drains
	c.CopiesDrained += o.CopiesDrained
	c.NoSpace += o.NoSpace
	c.Unreadable += o.Unreadable
	c.Unsound += o.Unsound
	c.DisksRefused += o.DisksRefused
	c.Beyond += o.Beyond
	for i := range c.Faults {
		c.Faults[i] += o.Faults[i]
	}
}

// Shown returns how often what a swarm should show happened, by name.
func (c *Counts) Shown() map[string]int {
	return map[string]int{
		"takeover": c.Takeovers, "resync under writes": c.BusyResyncs, "power loss": c.PowerLosses, "crash in a step": c.EffectCrashes, "eviction": c.Evictions, "resync": c.Resyncs,
		"unknown transaction": c.UnknownTransactions, "loss of every copy": c.TotalLosses, "partition or cut": c.Cuts,
		"fenced coordinator": c.Fenced, "volume handed over": c.HandedOver,
		"full disk": c.NoSpace, "snapshot": c.SnapshotsReady, "read of a snapshot": c.SnapshotReads, "clone": c.Clones, "copy added": c.CopiesAdded, "copy dropped": c.CopiesDropped, "restore": c.Restores, "volume deleted under its clone": c.Deletes, "snapshot on a full disk": c.SnapshotsFailed, "damaged disk": c.Faults[RotBit] + c.Faults[SpoilSector],
		"unsound disk": c.Unsound, "refused disk": c.DisksRefused, "loss beyond what is promised": c.Beyond,
		"node that joins": c.Joins, "drain": c.Drains, "copy moved by a drain": c.CopiesDrained,
		"device that outlived its process": c.DevicesKept, "request asked again": c.AskedAgain, "device torn down after its process": c.DevicesLost,
		"read gone wrong": c.Faults[FailRead] + c.Faults[MisdirectRead], "short-lived volume": c.Faults[CreateTwice] + c.Faults[DeleteAttached],
	}
}
