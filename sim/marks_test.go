package sim

import "github.com/lagan-storage/lagan/core/step"

// wantedMarks are places in core that a swarm must have passed: branches that
// only faults reach. The number is how many seeds it takes to expect that; a
// smaller swarm is not held to it. A mark that is not listed is one that no
// plan can reach yet, or an ordinary one.
var wantedMarks = []struct {
	mark  step.Mark
	seeds int
}{
	{"coordinator: fenced by a member", 400},
	{"coordinator: late read asked elsewhere", 400},
	{"coordinator: member came back without acknowledged records", 400},
	{"coordinator: member evicted", 400},
	{"coordinator: member filled and in sync again", 400},
	{"coordinator: operation refused by all became a NOP", 400},
	{"coordinator: read held back without grants", 400},
	{"coordinator: refused proposal turned out to be applied", 400},
	{"coordinator: replaced by another session", 400},
	{"coordinator: restarted member repaired from the window", 400},
	{"coordinator: resync aborted", 400},
	{"coordinator: resync begun", 400},
	{"coordinator: source of a resync cannot be read", 400},
	{"coordinator: tail fetched from a member", 400},
	{"coordinator: takeover left a member out", 400},
	{"coordinator: takeover restarted", 400},
	{"coordinator: takeover without a valid member", 400},
	{"coordinator: transaction of unknown outcome re-issued", 400},
	{"disk: failed while open, opened anew", 400},
	{"orchestrator: coordinator stopped because the attachment moved", 400},
	{"orchestrator: duel lost", 400},
	{"orchestrator: last replica of a deleted volume freed", 400},
	{"orchestrator: lingering volume is asked for", 400},
	{"orchestrator: lingering volume is let go for another node", 400},
	{"orchestrator: refused after an unknown outcome", 400},
	{"orchestrator: refused attachment turned out to be applied", 400},
	{"orchestrator: stale attachment removed", 400},
	{"orchestrator: transaction of unknown outcome re-issued", 400},
	{"orchestrator: waited in vain for a lingering volume", 2000},
	{"orchestrator: wanted volume is used again", 2000},
	{"orchestrator: watch began anew with a snapshot", 400},
	{"orchestrator: write of reconciliation refused", 400},
	{"replica: duplicate append ignored", 400},
	{"replica: failure of the disk overcome", 400},
	{"replica: frame of a replaced coordinator fenced", 400},
	{"replica: prepare of a replaced coordinator fenced", 400},
	{"replica: push left out blocks written since", 400},
	{"store: MAP", 400},
	{"store: WRAP", 400},
	{"store: append waits for freed space", 400},
	{"store: batch written anew after an unclean close", 400},
	{"store: checkpoint", 400},
	{"store: chunk went home", 400},
	{"store: failed", 400},
	{"store: journal full", 400},
	{"store: leaf page read a second time", 2000},
	{"store: no space", 400},
	{"store: park", 400},
	{"store: read a second time", 400},
	{"store: read found corruption", 400},
	{"store: release waits for readers", 2000},
	{"store: seal batch", 400},
	{"store: synced", 400},
	{"store: torn tail cut", 400},
	{"store: tree freed", 400},
}

// missedMarks returns the marks that should have been hit and were not.
func missedMarks(hit map[step.Mark]int, seeds int) (missed []step.Mark) {
	for _, w := range wantedMarks {
		if seeds >= w.seeds && hit[w.mark] == 0 {
			missed = append(missed, w.mark)
		}
	}
	return missed
}
