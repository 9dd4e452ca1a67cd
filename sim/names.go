package sim

import (
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

// eventText names an event.
func eventText(k step.EventKind) string {
	return [...]string{
		"invalid", "start", "timer", "disk done", "connected", "accepted", "message", "closed", "transaction", "watch", "request", "delivered", "control", "command",
	}[k]
}

// kindText names a message.
func kindText(k message.Kind) string {
	return [message.KindCount]string{
		message.Prepare: "PREPARE", message.Append: "APPEND", message.Sync: "SYNC", message.Read: "READ", message.Grant: "GRANT",
		message.FetchTail: "FETCHTAIL", message.Truncate: "TRUNCATE", message.ListChanged: "LISTCHANGED", message.Pull: "PULL", message.Push: "PUSH",
		message.ResyncBegin: "RESYNCBEGIN", message.ResyncLive: "RESYNCLIVE", message.ResyncEnd: "RESYNCEND", message.Promise: "PROMISE",
		message.Ack: "ACK", message.Data: "DATA", message.Granted: "GRANTED", message.Tail: "TAIL", message.Done: "DONE", message.Changed: "CHANGED",
		message.Pulled: "PULLED", message.Fenced: "FENCED", message.Unprepared: "UNPREPARED", message.Rotten: "ROTTEN",
		message.ListLayers: "LISTLAYERS", message.Checksum: "CHECKSUM", message.Map: "MAP", message.Layers: "LAYERS", message.Shape: "SHAPE", message.ResyncPass: "RESYNCPASS",
	}[k]
}

// statusText names what a replica says about a request.
func statusText(s message.Status) string {
	return [message.StatusCount]string{
		"OK", "no space", "corrupt", "behind", "gone", "no replica", "wrong state", "disk failed", "below stable",
	}[s]
}

// controlName names a control.
func controlName(k step.ControlKind) string {
	return map[step.ControlKind]string{
		step.DiskReady: "disk ready", step.DiskUnusable: "disk unusable", step.ReplicaMade: "replica made", step.ReplicaFreed: "replica freed",
		step.DiskSpace: "disk space", step.DiskAiling: "disk ailing", step.MakeReplica: "make replica", step.FreeReplica: "free replica", step.ConfigChanged: "config changed",
		step.StartCoordinator: "start coordinator", step.StopCoordinator: "stop coordinator", step.VolumeServing: "volume serving",
		step.VolumeWaiting: "volume waiting", step.VolumeFenced: "volume fenced", step.VolumeDetached: "volume detached",
		step.VolumeDamaged: "volume damaged", step.VolumeGrown: "volume grown", step.CompareVolume: "compare volume", step.VolumeCompared: "volume compared", step.SizeChanged: "size changed", step.DiskScrubbed: "disk scrubbed", step.ScrubDisk: "scrub disk",
		step.VolumeUsed: "volume used", step.VolumeWanted: "volume wanted",
		step.PlacementChanged: "placement changed", step.NodeEnded: "node ended", step.SnapshotsChanged: "snapshots changed",
		step.FreezeVolume: "freeze volume", step.VolumeFrozen: "volume frozen", step.ThawVolume: "thaw volume",
	}[k]
}

// outcomeText names what a client is told.
func outcomeText(e step.RequestError) string {
	return map[step.RequestError]string{
		step.RequestOK: "acknowledged", step.RequestNoSpace: "no space", step.RequestIO: "I/O error", step.RequestAmbiguous: "outcome unknown",
		step.RequestRefused: "refused",
	}[e]
}

// requestText names a request.
func requestText(k step.RequestKind) string { return operations[k].name }

// diskText names a disk operation.
func diskText(k step.DiskKind) string { return [...]string{"read", "write", "sync"}[k] }
