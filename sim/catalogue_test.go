package sim

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/step"
)

// mutant is a known bug that can be planted: build tags of files mutant_*_on.go
// in core. One with several tags is harmless without the last ones: they take
// away the guards behind it, which the bug's text names.
type mutant struct {
	tags  []string
	mark  step.Mark // shows that the mutated branch was reached
	bug   string
	waits feature // that it needs; "" once that exists
}

var mutants = []mutant{
	{[]string{"mutant_ack_early"}, "mutant: ack early", "a write is acknowledged before all members in sync have accepted it", ""},
	{[]string{"mutant_no_fence"}, "mutant: no fence", "a replica takes frames of a coordinator that was replaced", ""},
	{[]string{"mutant_stale_grant"}, "mutant: stale grant", "a read is answered after a grant ran out", ""},
	{[]string{"mutant_flush_local"}, "mutant: flush local", "a flush is acknowledged when one member is durable", ""},
	{[]string{"mutant_torn_tail"}, "mutant: torn tail", "a torn end of the journal is taken for whole", ""},
	{[]string{"mutant_read_any"}, "mutant: read any", "a read is asked of a member that is out of sync", ""},
	{[]string{"mutant_skip_dirtied"}, "mutant: skip dirtied", "a resync leaves out what was written during its passes", ""},
	{[]string{"mutant_fua_plain"}, "mutant: FUA plain", "a FUA write is acknowledged as a plain one", ""},
	{[]string{"mutant_sync_retry"}, "mutant: sync retry", "a failed sync is tried again and believed", ""},
	{[]string{"mutant_map_early"}, "mutant: map early", "a mapping is journaled before its data is written: a crash exposes what was there", ""},
	{[]string{"mutant_blind_retry"}, "mutant: blind retry", "a transaction of unknown outcome is tried again without its guards", ""},
	{[]string{"mutant_evict_early"}, "mutant: evict early", "an eviction counts before it is recorded", ""},
	{[]string{"mutant_wrong_source"}, "mutant: wrong source", "a resync copies from a member that is out of sync", ""},
	{[]string{"mutant_copy_any"}, "mutant: copy any", "the last pass of a resync is answered before the source has what came before it", ""},
	{[]string{"mutant_trim_local"}, "mutant: trim local", "a trim reaches one member only", ""},
	{[]string{"mutant_compaction"}, "orchestrator: watch began anew with a snapshot", "a watch that lost changes to a compaction goes on as if it had not", ""},
	{[]string{"mutant_unverified", "mutant_trust_data"}, "mutant: unverified", "data from the wrong place is not noticed; neither by the coordinator", ""},
	{[]string{"mutant_push_over_live"}, "replica: push left out blocks written since", "a resync overwrites what was written since", ""},
	{[]string{"mutant_duplicate", "mutant_any_seq"}, "mutant: duplicate", "a record that comes twice is applied twice, and the store takes it: the space of the first time is lost", ""},
	{
		[]string{"mutant_late_frames", "mutant_duplicate", "mutant_any_seq"},
		"mutant: duplicate",
		"the same, and frames of a connection that was replaced are not discarded: an old write lands on newer ones", "",
	},
	{[]string{"mutant_repair_unlocked"}, "mutant: repair unlocked", "a damaged block is written anew without the lock of its range: what was written meanwhile is overwritten", ""},
	{[]string{"mutant_made_up"}, "mutant: made up", "a resync fills blocks that its source has lost with zeroes", ""},
	{[]string{"mutant_window_early"}, "mutant: window early", "a window is dropped before it is durable", ""},
	{[]string{"mutant_torn_cut"}, "mutant: torn cut", "the cut of a snapshot is not atomic: what follows it in a batch gets into it", ""},
	{[]string{"mutant_skip_layer"}, "mutant: skip layer", "a resync leaves out a layer", ""},
	{[]string{"mutant_trust_tail"}, "mutant: trust tail", "a resync begins with what a copy had accepted, stable or not", ""},
	{[]string{"mutant_new_is_whole"}, "mutant: new is whole", "a copy that was just made is taken for filled", ""},
	{[]string{"mutant_remove_early"}, "mutant: remove early", "a copy is removed before those that stay hold everything", ""},
	{[]string{"mutant_resize_once"}, "mutant: resize once", "a takeover leaves a volume smaller than is recorded", ""},
	{[]string{"mutant_small_target"}, "mutant: small target", "a resync leaves its target as small as it was", ""},
	{[]string{"mutant_unlock_early"}, "mutant: unlock early", "a write's range is unlocked before the device knows that it succeeded: asked again, it lands on a newer one", ""},
	{[]string{"mutant_adopt_lossy"}, "mutant: adopt lossy", "a device that outlived its process goes on after a takeover that lost something", ""},
	{[]string{"mutant_merge_shares"}, "mutant: merge shares", "a merge frees a chunk that a snapshot shares", ""},
}

// harmless are planted bugs that do nothing, since something else prevents what
// they would do. They must be reached all the same, and stay clean.
var harmless = []mutant{
	{[]string{"mutant_duplicate"}, "mutant: duplicate", "a replica hands its store a record that comes twice, and the store refuses it", ""},
}

// feature is something that is still to be built, and by which issue.
type feature string

// signs are what core's source cannot be without once a feature exists; nothing waits
// for one now.
var signs = map[feature]string{}

// row is one line of a table of what must be shown, or a part of one: the
// scenarios that show it, or what it waits for.
type row struct {
	what  string
	tests []string
	waits feature
}

// corners are the rows of the protocol's table of corners. See drafts and
// incidents for the other two tables.
var corners = []row{
	{"the coordinator crashes in the middle of a write", []string{"TestAcknowledgedWriteIsReadOnANodeWithoutCopyAfterTheCoordinatorDied"}, ""},
	{"the coordinator is cut from the metadata store", []string{"TestCoordinatorWithoutMetadataServesUntilAMemberFails"}, ""},
	{"a connection is refused or reset", []string{"TestMemberWhoseProcessDiedIsPutOutAtOnce", "TestSilentMemberIsPutOutAndFilledAgainWhileWritesGoOn"}, ""},
	{"a member that was put out comes back within the window", []string{"TestCopyThatWasPutOutIsGivenWhatItMissed", "TestCopyThatIsAwayForTooLongIsFilled"}, ""},
	{"the coordinator is cut from all copies", []string{"TestVolumeCutFromAllItsCopiesWaits"}, ""},
	{"the coordinator is fenced", []string{"TestFencedCoordinatorEndsEveryRequest", "TestIsolatedHolderAnswersNoReadOnceAnotherNodeServes"}, ""},
	{"a copy restarts", []string{"TestRestartedMemberComesBackInSync"}, ""},
	{"a copy restarts and has lost what was not synced", []string{"TestMemberThatLostPowerIsMadeWholeAgain"}, ""},
	{"the last copy in sync restarts under its client", []string{"TestLastCopyIsMadeWholeByItsClient"}, ""},
	{"the last copy in sync is filled from its client", []string{"TestLastCopyIsMadeWholeByItsClient", "TestCopiesThatAllLostPowerAreMadeWholeByTheirClient"}, ""},
	{"the last copy in sync is lost for good", []string{"TestVolumeWhoseLastDiskIsGoneSaysWhomItWaitsFor"}, ""},
	{"a person accepts the loss", []string{"TestPersonAcceptsTheLoss"}, ""},
	{"all copies lose power", []string{"TestPowerLossOfAllKeepsWhatWasFlushed", "TestVolumeWaitsForAllItsCopiesAfterAllLostPower"}, ""},
	{"A is out, then B dies", []string{"TestVolumeWaitsForTheLastCopyThoughAnOlderOneIsThere"}, ""},
	{"A is not repaired yet, B falls silent", []string{"TestLastValidCopyStaysWhileTheOtherIsNotRepaired"}, ""},
	{"too few copies to write", []string{"TestWriteWaitsWhileTooFewCopiesAreInSync"}, ""},
	{"an old copy returns", []string{"TestAcknowledgedWriteIsReadOnANodeWithoutCopyAfterTheCoordinatorDied"}, ""},
	{"attached on another node, by force", []string{"TestIsolatedHolderAnswersNoReadOnceAnotherNodeServes", "TestVolumeOfAHolderThatIsGoneIsTakenThoughItLingered"}, ""},
	{"attached on another node, in order", []string{"TestVolumeThatLingersIsHandedOverWithoutForceAndLosesNothing"}, ""},
	{"clocks differ", []string{"TestClocksAtTheBoundLetNoStaleReadThrough"}, ""},
	{"a transaction of unknown outcome", []string{"TestEvictionOfUnknownOutcomeIsSettled"}, ""},
	{"a snapshot", []string{"TestSnapshotStaysWhatItWas", "TestSnapshotOutlivesItsCoordinator"}, ""},
	{"a volume goes back to a snapshot", []string{"TestVolumeGoesBackToASnapshot"}, ""},
	{"a volume grows", []string{
		"TestVolumeGrowsUnderWrites", "TestGrowthIsDoneThoughItsNodeDies", "TestGrowthOutlastsThePowerOfEveryNode", "TestVolumeGrowsWhileACopyIsFilled",
		"TestCopyThatWasAwayIsFilledAsLargeAsTheOthers", "TestVolumeThatNobodyHasGrowsByItsUpkeep", "TestVolumeThatGoesBackToASnapshotKeepsItsSize",
		"TestPersonAcceptsTheLossOfAGrowth", "TestVolumeNeverShrinksAndGrowsIntoNoFullDisk",
	}, ""},
	{"a copy is added, moved, removed", []string{
		"TestCopyIsMovedUnderWritesWithoutAPause", "TestNumberOfCopiesChangesUnderWritesInBothDirections", "TestMoveIsDoneThoughEveryNodeDiesInBetween",
		"TestMoveThatIsBrokenOffLeavesWhatWasThere", "TestVolumeThatNobodyHasIsRearrangedAndGivenUpToWhoWantsIt", "TestLastCopyIsNeverRemoved",
		"TestLostCopyIsMadeAnewElsewhere", "TestLostCopyThatComesBackFirstStays",
	}, ""},
	{"the data of a copy is freed", []string{"TestDeletionWithANodeDownIsDoneWhenItReturns", "TestOfDeletionAndAttachmentAtOnceOneIsRefused"}, ""},
	{"a checksum does not match", []string{
		"TestRottenBlocksAreReadFromTheOtherCopy", "TestReadWaitsForTheGoodCopyThoughItIsLate",
		"TestBlocksWithoutAGoodCopyAreRefusedAndNeverWrong", "TestCopyIsFilledFromTheOneThatCanBeRead", "TestReadThatGoesWrongOnceIsAnsweredByTheOnlyCopy",
	}, ""},
	{"copies differ and nobody can tell which is right", []string{
		"TestCopiesThatDifferAreReportedAndLeftAsTheyAre", "TestCopiesAreComparedUnderWritesWhileMembersComeAndGo", "TestComparisonThatIsBrokenOffLetsGoOfItsBlocks",
	}, ""},
	{"a damaged block is written anew", []string{
		"TestRottenBlocksAreWrittenAnew", "TestBlocksRottenOnEitherCopyAreAllReadAndWrittenAnew", "TestRepairNeverOverwritesANewerWrite",
		"TestRepairOutlastsTheMemberThatFails", "TestBlockWithoutAGoodCopyStaysSoThroughAResync",
	}, ""},
	{"a damaged block of a snapshot is repaired", []string{
		"TestRottenBlocksOfASnapshotAreRepaired", "TestReadOfASnapshotHasItRepaired", "TestBlocksOfASnapshotRottenOnEitherCopyAreRepaired",
		"TestBlockOfASnapshotThatWasCopiedAsLostIsRepaired", "TestBlockOfASnapshotWithoutAGoodCopyStaysLost",
		"TestRepairOfASnapshotOutlastsItsMember", "TestSnapshotMayGoWhileItIsRepaired",
	}, ""},
	{"a sync fails", []string{"TestFailedSyncIsNeverBelieved"}, ""},
	{"a sync hangs", []string{"TestDiskThatHangsIsLeftBehind"}, ""},
	{"disks are full", []string{"TestFullDiskRefusesWritesServesReadsAndComesBack"}, ""},
	{"a copy that was put out keeps a write that became a NOP", []string{"TestCopyThatKeptWhatBecameANopLosesIt"}, ""},
	{"a slow copy", []string{"TestSilentMemberIsPutOutAndFilledAgainWhileWritesGoOn"}, ""},
	{"a slow copy comes back only when it has been well", []string{"TestSlowCopyComesBackOnlyWhenItHasBeenWellForAWhile"}, ""},
	{"a member returns before its removal is decided", []string{"TestEvictionOfUnknownOutcomeIsSettled"}, ""},
	{"the metadata store goes back to an old backup", []string{
		"TestOldBackupNeverBringsBackACopyThatWasPutOut", "TestOldBackupNeverUndoesATakeover", "TestKnowledgeOfALostConfigurationOutlastsSessions",
		"TestVolumeThatWasNeverWrittenInTheBackupIsNotMadeAnew", "TestRestoredVolumeOfWhichNobodyKnowsNewerIsServed",
		"TestVolumeWhoseStoreWentBackUnderItStops",
	}, ""},
	{"a volume is deleted", []string{"TestDeletionWithANodeDownIsDoneWhenItReturns", "TestChangesWhoseNodeDiesLeaveNoDebris"}, ""},
	{"a device sends its writes again", []string{
		"TestDeviceOutlivesItsProcessAndAsksAgain", "TestDeviceOutlivesProcessAfterProcess", "TestDeviceWhoseVolumeWasTakenElsewhereIsTornDown",
	}, ""},
}

// TestNothingWaitsForWhatExists holds the tables against the source: a bug or a
// corner waits only while its feature does not exist, and every scenario that
// is named is there.
func TestNothingWaitsForWhatExists(t *testing.T) {
	built := map[feature]bool{}
	for f, sign := range signs {
		built[f] = regexp.MustCompile(sign).MatchString(sourceOfCore(t))
	}
	waits := func(what string, f feature, shown bool) {
		switch {
		case f == "" && !shown:
			t.Errorf("%q is neither shown nor waits", what)
		case f != "" && shown:
			t.Errorf("%q is shown and waits for %s", what, f)
		case f != "" && signs[f] == "":
			t.Errorf("%q waits for %s, whose coming nobody would notice", what, f)
		case f != "" && built[f]:
			t.Errorf("%q still waits for %s, which exists", what, f)
		}
	}
	for _, m := range slices.Concat(mutants, harmless) {
		waits(m.bug, m.waits, len(m.tags) > 0)
		for _, tag := range m.tags {
			if found, _ := filepath.Glob("../core/*/" + tag + "_on.go"); len(found) == 0 {
				if found, _ = filepath.Glob("../core/*/*/" + tag + "_on.go"); len(found) == 0 {
					t.Errorf("%q: no file of core is built with %s", m.bug, tag)
				}
			}
		}
	}
	tests := testsHere(t)
	for _, r := range slices.Concat(corners, drafts, incidents) {
		waits(r.what, r.waits, len(r.tests) > 0)
		for _, name := range r.tests {
			if !tests[name] {
				t.Errorf("%q: there is no %s", r.what, name)
			}
		}
	}
}

// TestEveryBugHasAScript insists that a new one is shrunk once it is caught.
func TestEveryBugHasAScript(t *testing.T) {
	scripts := map[string]bool{}
	for _, path := range corpus(t) {
		scripts[readScript(t, path).Bug] = true
	}
	for _, m := range mutants {
		if bug := strings.Join(m.tags, ","); m.waits == "" && !scripts[bug] {
			t.Errorf("%q: testdata has no script of %s: go test ./sim -run TestShrink -tags=%s -bug=%s -seed=…", m.bug, bug, bug, bug)
		}
	}
}

func sourceOfCore(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("../core", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// testsHere returns the names of this package's tests.
func testsHere(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}
