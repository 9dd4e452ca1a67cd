package storetest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ruleTests names, for a rule of docs/storage-format.md or a part of one, the tests
// here and in core/store that break without it. Growing a volume is no record of
// the store yet.
var ruleTests = []struct {
	rule  int
	part  string
	tests []string
}{
	{1, "", []string{"TestRule1UnstableRecordsNeverChangeHomeBlocks", "TestRule1TruncateBelowWhatIsStableIsRefused", "TestNothingGoesHomeBeforeASealedBatchSaysItIsDurable"}},
	{2, "", []string{"TestRule2HomeIsNotOverwrittenBeforeJournalIsDurable"}},
	{3, "", []string{"TestRule3HomeIsWrittenOnlyForSealedBatches"}},
	{4, "", []string{"TestRule4UnstableRecordsDoNotHoldTheJournalsTail", "TestUnstableRecordsNeverPinTheTailAndCanBeDropped"}},
	{5, "", []string{"TestRule5TruncationIsARecordThatReplayObeys"}},
	{6, "", []string{"TestRule6TruncationUncoversOlderVersions"}},
	{7, "", []string{"TestRule7CheckpointHoldsExactlyTheStableRecordsBelowItsCut"}},
	{8, "MAP", []string{"TestRule8MapAndZeroStayInTheOverlayUntilStable"}},
	{8, "trim", []string{"TestRule8MapAndZeroStayInTheOverlayUntilStable", "TestRule13TrimUnderASnapshotNeverUncoversIt"}},
	{8, "SNAP", []string{"TestRule8SnapshotsStayInTheOverlayUntilStable"}},
	{8, "DELSNAP", []string{"TestRule8DeletionStaysInTheOverlayUntilStable", "TestRule8MergeWaitsForTheRecordsOfItsLayer"}},
	{9, "", []string{"TestRule9BatchesOfAnEarlierOpenAreNotTakenForNewOnes", "TestWhatWasCutStaysCut"}},
	{10, "", []string{
		"TestRule10CorruptionBelowADurableBatchIsNotATornTail", "TestRule10TornTailIsCutSilently",
		"TestRule10LostPromiseDamagesTheReplicaThoughNoSeqIsMissing", "TestRule10NothingBehindALostResetTakesEffect",
		"TestRule10EveryHoleIsJudgedByWhatIsBehindIt",
	}},
	{11, "", []string{"TestRule11FailedSyncIsNeverTakenBack", "TestCrashDuringRecoveryLosesNothing"}},
	{12, "", []string{"TestRule12TwoGoodSuperblocksAreEnough", "TestRule12WithoutTwoGoodSuperblocksTheDiskIsRefusedByName", "TestRule12SuperblockFromTheFutureIsRefused", "TestFailedOpeningsLeaveASuperblockThatIsDurable"}},
	{13, "", []string{"TestRule13ZeroedBlocksAreListedAsChanged", "TestRule13TrimUnderASnapshotNeverUncoversIt"}},
	{14, "onto a target that was emptied", []string{"TestRule14LayersAreListedPulledAndPushedOneByOne", "TestResyncCopiesEverySnapshot"}},
	{14, "onto a target that keeps what it has", []string{"TestRule14TargetThatKeepsItsContentTakesWhatChanged", "TestRule14RewoundTargetGoesOnWhereItWasContinued"}},
	{15, "", []string{
		"TestRule15AcceptedAdvancesInOrderAndOnlyOverWrittenData", "TestRule15WhatIsBehindAMapWithoutDataIsCutForGood",
		"TestMapIsJournaledWhileItsDataIsWritten",
	}},
	{16, "", []string{"TestRule16MergeDestageAndWritesTakeTurnsOnAChunk", "TestRule16MergedChunkKeepsTheNewestSeqOfBoth"}},
	{17, "", []string{"TestRule17ReadsInFlightKeepWhatTheyRead", "TestReleasedSpaceWaitsForReaders"}},
	{18, "", []string{"TestRule18FullDiskRefusesWhatHasNoRoomAndServesTheRest", "TestTrimOfAWholeVolumeTakesBoundedMemory"}},
	{19, "volumes", []string{"TestRule19CreateAndDeleteAreRecords"}},
	{19, "clones", []string{"TestRule19ClonesKeepTheLayersOfADeletedVolume", "TestClonesKeepWhatTheyStandOn", "TestRule19CloneIsRecordedBeforeWhatEmptiesItsOrigin"}},
	{19, "layers that nothing needs any more", []string{"TestRule19WhatADeletionFreesStaysAsItIsUntilThatIsSealed"}},
	{20, "", []string{"TestRule20BadBlocksAreKnownAndDoNotPinTheJournal", "TestRule20HomeThatRotsIsRefusedBlockByBlock"}},
}

// TestEveryRuleHasItsTests holds the table against the document and the source:
// every rule has tests that are there, and every test that says which rule it is
// about is in its row.
func TestEveryRuleHasItsTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/storage-format.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := len(regexp.MustCompile(`(?m)^\d+\. \*\*`).FindAll(text, -1))
	if rules < 20 {
		t.Fatalf("the document has %d rules", rules)
	}
	here := testsIn(t, ".")
	all := slices.Concat(here, testsIn(t, "../../core/store"))
	named := map[int][]string{}
	for _, r := range ruleTests {
		named[r.rule] = append(named[r.rule], r.tests...)
		for _, name := range r.tests {
			if !slices.Contains(all, name) {
				t.Errorf("rule %d %s: there is no %s", r.rule, r.part, name)
			}
		}
	}
	for rule := 1; rule <= rules; rule++ {
		of := func(name string) bool {
			return regexp.MustCompile(fmt.Sprintf(`^TestRule%d[A-Z]`, rule)).MatchString(name)
		}
		if !slices.ContainsFunc(named[rule], of) {
			t.Errorf("rule %d has no test with crashes", rule)
		}
		for _, name := range here {
			if of(name) && !slices.Contains(named[rule], name) {
				t.Errorf("%s is not in the row of its rule", name)
			}
		}
	}
}

// testsIn returns the names of a package's tests.
func testsIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}
