package sim

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/linearizability"
)

var (
	scriptFlag = flag.String("script", "", "the script that TestScript runs")
	intoFlag   = flag.String("into", "testdata", "the folder in which TestShrink leaves its script")
	bugFlag    = flag.String("bug", "", "the build tag of the planted bug that TestShrink notes in its script")
	budgetFlag = flag.Duration("budget", time.Minute, "after how long TestShrink takes what it has")
	listFlag   = flag.Bool("faults", false, "TestSeed and TestScript list the faults that struck")
)

func readScript(t *testing.T, path string) *Script {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadScript(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return s
}

func corpus(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*.sim"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatal("there are no scripts in testdata")
	}
	return paths
}

// A script that is larger than this explains little: another seed may shrink to
// less.
const (
	scriptFaultsMax     = 12
	scriptOperationsMax = 30
)

// TestCorpus runs every script in testdata: what failed once must not again.
func TestCorpus(t *testing.T) {
	for _, path := range corpus(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := readScript(t, path)
			if faults, operations := len(s.Plan.Faults), s.Plan.operationCount(); faults > scriptFaultsMax || operations > scriptOperationsMax {
				t.Errorf("it has %d faults and %d operations: at most %d and %d can be followed", faults, operations, scriptFaultsMax, scriptOperationsMax)
			}
			r := Run(s.Plan, Options{Checker: &linearizability.Checker{Timeout: searchMax}})
			if r.Violation != nil {
				t.Errorf("%s\n    %s\n%s", r.Line(commit(), "go test ./sim -run TestScript -script="+path), r.Violation.Text, strings.Join(s.About, "\n"))
			}
			if r.Counts.Acknowledged == 0 {
				t.Error("no operation was acknowledged: the script shows nothing any more")
			}
		})
	}
}

func TestScript(t *testing.T) {
	if *scriptFlag == "" {
		t.Skip("no -script given")
	}
	show(t, readScript(t, *scriptFlag).Plan, "go test ./sim -run TestScript -script="+*scriptFlag)
}

func TestShrink(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("no -seed given")
	}
	ctx, cancel := context.WithTimeout(t.Context(), *budgetFlag)
	defer cancel()
	p := planOf(*seedFlag, Profile(*profileFlag))
	began := time.Now()
	small, err := Shrink(ctx, p, searchMax)
	if err != nil {
		t.Fatal(err)
	}
	v := small.Report.Violation
	s := &Script{Fails: v.Invariant, Bug: *bugFlag, Plan: small.Plan, About: []string{
		fmt.Sprintf("Found by seed %#x (%s), made small by TestShrink. It failed with", p.Seed, p.Profile), v.String(),
	}}
	name := fmt.Sprintf("seed-%x", p.Seed)
	if first, _, _ := strings.Cut(s.Bug, ","); first != "" {
		name = strings.TrimPrefix(first, "mutant_")
	}
	path := filepath.Join(*intoFlag, name+".sim")
	var text bytes.Buffer
	if err := s.Write(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(*intoFlag, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d faults became %d, and %d operations; %d nodes, %d runs, %v: %s", len(p.Faults), len(small.Plan.Faults), small.Plan.operationCount(), small.Plan.Nodes,
		small.Runs, time.Since(began).Round(time.Second), path)
	command := "go test ./sim -run TestScript -script=" + path
	t.Logf("%v\n    %s\n    %s", v, command, explain(t, small.Report, command))
}

// TestRunCanBeReplayedFromItsSchedule asks for what was asked, and breaks what
// was broken, from a script: nobody sees a difference.
func TestRunCanBeReplayedFromItsSchedule(t *testing.T) {
	same := 0
	for seed := uint64(1); seed <= 12; seed++ {
		drawn := Run(NewPlan(seed, Swarm), Options{})
		var file bytes.Buffer
		if err := (&Script{Plan: drawn.Script()}).Write(&file); err != nil {
			t.Fatal(err)
		}
		s, err := ReadScript(&file)
		if err != nil {
			t.Fatal(err)
		}
		if want := drawn.Script(); !reflect.DeepEqual(s.Plan, want) {
			t.Fatalf("seed %d: the plan was read as\n%+v\nnot\n%+v", seed, s.Plan, want)
		}
		again := Run(s.Plan, Options{})
		if again.Violation != nil {
			t.Errorf("seed %d: its script fails: %v", seed, again.Violation)
		}
		a, b := drawn.Counts, again.Counts
		a.Steps, b.Steps = 0, 0 // turns in which a client asks for nothing are no part of a script
		if a == b && slices.Equal(drawn.Struck, again.Struck) {
			same++
		}
	}
	// A client that went to another coordinator without asking it for anything
	// is not in the script: what follows differs then, and with it what can strike.
	if same < 10 {
		t.Errorf("only %d of 12 scripts did what the seed did", same)
	}
}

func TestScriptWrittenByHandIsReadAndNonsenseIsRefusedWithItsLine(t *testing.T) {
	begin := "seed 7\nprofile swarm\nscripted true\nnodes 3\nblocksize 64\nsafety 3s\nliveness 2m\nkeepalive 5s\nprobeonein 1\nmetadatamax 1ms\ndisksize 16777216\njournalbytes 2097152\nvolume blocks=8 members=0,1\nclient volume=0\n"
	s, err := ReadScript(strings.NewReader("# why\n" + begin + "at 2s c0 write 3+2 fua moves\nat 1s c0 flush\nat 3ms power-loss n1 peer=n2 for=1s pick=0x10\n"))
	if err != nil {
		t.Fatal(err)
	}
	o := s.Plan.Clients[0].Script
	if len(o) != 2 || o[0].Kind != OpFlush || !o[1].FUA || !o[1].Moves || o[1].Range.First != 3 || o[1].Range.Count != 2 {
		t.Errorf("operations: %v", o)
	}
	if want := (Fault{At: 3 * time.Millisecond, Kind: LosePower, Node: 1, Peer: 2, For: time.Second, Pick: 16}); s.Plan.Faults[0] != want {
		t.Errorf("fault: %v", &s.Plan.Faults[0])
	}
	if r := Run(s.Plan, Options{}); r.Violation != nil || len(r.Asked[0]) != 2 || len(r.Struck) != 1 {
		t.Errorf("the script does not run: %v, asked %v, struck %v", r.Violation, r.Asked, r.Struck)
	}
	for _, wrong := range []string{
		"safety 0s",
		"nodes many", "flavour 3", "at 1s", "at soon kill n1", "at 1s melt n1", "at 1s kill node1", "at 1s kill n7", "at 1s c3 read 1+1",
		"at 1s c0 eat 1+1", "at 1s c0 read 1+1 twice", "at 1s c0 read 7+2", "at 1s c0 read", "at 1s kill n1 colour=3", "client volume=9", "volume blocks=3 members=5",
	} {
		if _, err := ReadScript(strings.NewReader(begin + wrong + "\n")); err == nil {
			t.Errorf("%q was read", wrong)
		}
	}
}

// FuzzReadScript reads anything: it is refused, or written as something that is
// read as the same plan.
func FuzzReadScript(f *testing.F) {
	f.Add([]byte("seed 7\nprofile swarm\nscripted true\nnodes 3\nblocksize 64\nsafety 3s\nliveness 2m\nkeepalive 5s\nprobeonein 1\nmetadatamax 1ms\ndisksize 16777216\njournalbytes 2097152\nclockppm 1,2,3\nvolume blocks=8 members=0,1\nclient volume=0\nat 2s c0 write 3+2 fua moves\nat 3ms power-loss n1 peer=n2\n"))
	paths, err := filepath.Glob(filepath.Join("testdata", "*.sim"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ReadScript(bytes.NewReader(text))
		if err != nil {
			return
		}
		var file bytes.Buffer
		if err := s.Write(&file); err != nil {
			t.Fatal(err)
		}
		again, err := ReadScript(bytes.NewReader(file.Bytes()))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, file.Bytes())
		}
		if !reflect.DeepEqual(s, again) {
			t.Errorf("read is\n%+v\nand after writing\n%+v\n%s", s, again, file.Bytes())
		}
	})
}
