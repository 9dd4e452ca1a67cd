package sim

import (
	"regexp"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/step"
)

// wantedMarks are places in core that a swarm must have passed: branches that
// only faults reach. The number is how many seeds it takes to expect that; a
// smaller swarm is not held to it. What no plan reaches is in unwantedMarks.
var wantedMarks = []struct {
	mark  step.Mark
	seeds int
}{
	{"coordinator: block repaired", 400},
	{"coordinator: fenced by a member", 400},
	{"coordinator: late read asked elsewhere", 400},
	{"coordinator: member came back without records that the window has no more", 400},
	{"coordinator: acknowledged records given again from the window", 400},
	{"coordinator: member that was away is given what it missed", 400},
	{"coordinator: member that was away in sync again from the window", 400},
	{"coordinator: window not kept any longer for a member that is out", 400},
	{"coordinator: return of a member given up", 2000},
	{"coordinator: stream left a member behind", 50000},
	{"store: push waits for others to go home", 2000},
	{"coordinator: member came back before it was known to be in sync", 50000},
	{"coordinator: no room for what was acknowledged", 2000},
	{"coordinator: member evicted", 400},
	{"coordinator: member in sync dropped", 400},
	{"coordinator: member that is out dropped", 400},
	{"coordinator: wanted copy added", 400},
	{"coordinator: size of a volume recorded", 400},
	{"coordinator: volume grown", 400},
	{"coordinator: all copies compared", 400},
	{"coordinator: member filled that was smaller", 400},
	{"coordinator: member filled and in sync again", 400},
	{"coordinator: member that cannot be reconciled left out", 2000},
	{"coordinator: operation refused by all became a NOP", 400},
	{"coordinator: read held back without grants", 400},
	{"coordinator: refused proposal turned out to be applied", 400},
	{"coordinator: replaced by another session", 400},
	{"coordinator: restarted member repaired from the window", 400},
	{"coordinator: promise asked for again", 400},
	{"coordinator: resync aborted", 400},
	{"coordinator: resync begun", 400},
	{"coordinator: resync has the disks for itself", 400},
	{"coordinator: lost blocks copied as lost", 400},
	{"coordinator: repair found nothing to do", 400},
	{"coordinator: lost blocks looked for again", 2000},
	{"coordinator: member filled with a snapshot that was deleted", 400},
	{"coordinator: record of snapshots of unknown outcome", 400},
	{"coordinator: record of snapshots refused", 400},
	{"coordinator: slow member put out", 400},
	{"coordinator: snapshot taken while a member is filled", 2000},
	{"coordinator: snapshots recorded", 400},
	{"coordinator: sync sent ahead of its flush", 400},
	{"coordinator: tail fetched from a member", 400},
	{"coordinator: takeover left a member out", 400},
	{"coordinator: takeover restarted", 400},
	{"coordinator: takeover without a valid member", 400},
	{"coordinator: transaction of unknown outcome re-issued", 400},
	{"coordinator: write of zeroes is a zero", 400},
	{"disk: failed while open, opened anew", 400},
	{"disk: snapshot to be cloned is not there", 2000},
	{"orchestrator: change of copies settled", 400},
	{"orchestrator: lost copy is made anew", 400},
	{"orchestrator: lost copy came back", 2000},
	{"orchestrator: coordinator stopped because the attachment moved", 400},
	{"orchestrator: copy that left freed", 400},
	{"orchestrator: duel lost", 400},
	{"orchestrator: last replica of a deleted volume freed", 400},
	{"orchestrator: lingering volume is asked for", 400},
	{"orchestrator: lingering volume is let go for another node", 400},
	{"orchestrator: refused after an unknown outcome", 400},
	{"orchestrator: refused attachment turned out to be applied", 400},
	{"orchestrator: refused creation turned out to be applied", 2000},
	{"orchestrator: stale attachment removed", 400},
	{"orchestrator: transaction of unknown outcome re-issued", 400},
	{"orchestrator: volume attached for its upkeep", 400},
	{"orchestrator: waited in vain for a lingering volume", 2000},
	{"orchestrator: wanted volume is used again", 2000},
	{"orchestrator: watch began anew with a snapshot", 400},
	{"orchestrator: write of reconciliation refused", 400},
	{"replica: given what changed", 400},
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
	{"store: checkpoint for space", 2000},
	{"store: chunk merged", 400},
	{"store: chunk went home", 400},
	{"store: corruption at or before durable", 400},
	{"store: durable end of the journal lost", 2000},
	{"store: failed", 400},
	{"store: full chunk through the journal", 2000},
	{"store: journal block lost", 2000},
	{"store: journal data lost before it was parked", 2000},
	{"store: journal data lost before it went home", 2000},
	{"store: journal full", 400},
	{"store: journal read page by page", 400},
	{"store: layer folded down", 400},
	{"store: layer folded up", 400},
	{"store: layer freed", 400},
	{"store: layer merged", 400},
	{"store: leaf page read a second time", 2000},
	{"store: leaf without page", 400},
	{"store: merge copies blocks", 400},
	{"store: merge waits for a checkpoint", 15_000},
	{"store: merge waits for a chunk that goes home", 400},
	{"store: no space", 400},
	{"store: park", 400},
	{"store: metadata that has rotted written anew", 400},
	{"store: read a second time", 400},
	{"store: read found corruption", 400},
	{"store: release waits for readers", 2000},
	{"store: replica cut at a gap", 2000},
	{"store: replica cut at a lost control record", 2000},
	{"store: replica damaged by a hole in the journal", 400},
	{"store: replica damaged by a lost page", 2000},
	{"store: scrub found lost blocks", 400},
	{"store: rewound to what is stable", 400},
	{"store: block of a snapshot repaired", 2000},
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

// unwantedMarks are places that no plan of the swarm reaches, or hardly ever, and
// why that is so.
var unwantedMarks = map[step.Mark]string{
	"orchestrator: attachment of a removed node given up":            removals,
	"orchestrator: copy of a forgotten volume freed":                 removals,
	"coordinator: member truncated in a takeover":                    fullCopies,
	"replica: truncate below stable refused":                         fullCopies,
	"store: record of a newer era replaces older ones":               fullCopies,
	"coordinator: configuration that went back found out":            backups,
	"coordinator: copy outside a restored configuration has more":    backups,
	"orchestrator: copy that came after a backup":                    backups,
	"coordinator: copies differ":                                     "that would be a bug: the scenario of copies that differ",
	"coordinator: repair put off":                                    rare,
	"coordinator: repair of a snapshot tried again":                  rare,
	"store: repair waits for its layer to come to rest":              rare,
	"store: repair with other data refused":                          "every copy of a snapshot is the same: the tests of sim/storetest",
	"coordinator: what changed did not fit beside what a member has": rare,
	"coordinator: read put together":                                 "copies elsewhere are whole when a plan damages one: the scenario of blocks rotten on either copy",
	"coordinator: read answered with damaged data":                   "the store finds it first, and frames have checksums: only with the mutant of its reads this guard is reached",
	"disk: freeing a replica on a stale configuration refused":       "configurations reach a disk in order",
	"disk: no room for another replica":                              "short-lived volumes fit, and others are not made while a plan runs: no test reaches it",
	"disk: opening waits for operations of the former life":          "a process of the simulation ends with its operations: the tests of core/node",
	"orchestrator: command given up":                                 rare,
	"orchestrator: copy is moved to balance disks":                   balance,
	"orchestrator: disks are balanced":                               balance,
	"orchestrator: command refused because too many are under way":   crowds,
	"orchestrator: write of reconciliation put off":                  crowds,
	"orchestrator: snapshot that failed asked for again":             upkeep,
	"orchestrator: upkeep of a node that died given up":              upkeep,
	"orchestrator: waited in vain for a file system to be frozen":    upkeep,
	"orchestrator: outcome learnt from the watch":                    "answers overtake the watch: the tests of core/orchestrator",
	"replica: frame of another resync refused":                       "a connection that was replaced is closed: the scenario of late frames",
	"store: batch header of two pages":                               rare,
	"store: close drops what was never accepted":                     rare,
	"replica: append refused late":                                   "one seed of a hundred thousand, as 0x4c7368 was",
	"store: append waited in vain for freed space":                   "space that is freed comes in time: the tests of the store",
	"store: read looked again":                                       rare,
	"store: leaf page lost":                                          rare,
	"store: metadata page read a second time":                        rare,
	"store: torn MAP cut":                                            rare,
	"store: zero waits for others to go home":                        "volumes are too small: the tests of the store",
	"store: merge found corruption":                                  layers,
	"store: replica cut at a push into a lost layer":                 layers,
}

const (
	removals   = "no plan removes a node: the scenario of a removed node does"
	fullCopies = "what is not stable is dropped before a copy is brought up to date, so none in sync has records of an era that ended"
	crowds     = "no plan has hundreds of commands at once: the tests of core/orchestrator have"
	layers     = "one run of thousands: the random traces of sim/storetest"
	backups    = "no plan restores the metadata store: the scenarios of old backups do"
	balance    = "no plan has disks balanced: the tests of core/orchestrator have"
	upkeep     = "no plan has an operator who asks for snapshots: the tests of core/orchestrator have"
	rare       = "one run of hundreds, or none: the tests of its package"
)

// TestEveryMarkOfCoreIsWantedOrSaysWhyNot holds both lists against the source.
func TestEveryMarkOfCoreIsWantedOrSaysWhyNot(t *testing.T) {
	hits := regexp.MustCompile(`\bMarks\.Hit\(("[^"]*"|[^)]*)\)`).FindAllStringSubmatch(sourceOfCore(t), -1)
	emitted := map[step.Mark]bool{}
	for _, h := range hits {
		text, literal := strings.CutPrefix(strings.TrimSuffix(h[1], `"`), `"`)
		if emitted[step.Mark(text)] = true; !literal {
			t.Errorf("%s is no literal: nobody can tell which mark it is", h[0])
		}
	}
	listed := map[step.Mark]int{}
	for _, w := range wantedMarks {
		listed[w.mark]++
	}
	for m := range unwantedMarks {
		listed[m]++
	}
	for _, m := range sortedKeys(emitted) {
		if planted := strings.HasPrefix(string(m), "mutant: "); !planted && listed[m] != 1 {
			t.Errorf("the mark %q is in %d of the lists of marks, and should be in one", m, listed[m])
		}
	}
	for _, m := range sortedKeys(listed) {
		if !emitted[m] {
			t.Errorf("the mark %q is in a list, and nothing in core hits it", m)
		}
	}
}
