package linearizability

import (
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

func TestCheckerTellsLegalFromIllegal(t *testing.T) {
	cases := []struct {
		name, history string
		rule          Rule   // 0: legal
		says          string // part of the violation's text
	}{
		{name: "nothing", history: ""},
		{name: "unwritten block reads zeroes", history: "a:r a=0"},
		{name: "read sees the write before it", history: "a:w1 a. b:r b=1"},
		{name: "read beside a write sees the old value", history: "a:w1 a. a:w2 b:r b=1 a."},
		{name: "read beside a write sees the new value", history: "a:w1 a. a:w2 b:r b=2 a."},
		{
			name: "stale read", history: "a:w1 a. a:w2 a. b:r b=1", rule: NotLinearizable,
			says: "block 7: client 1's read (called at 5ms, returned at 6ms) returned value 0:1, which contradicts " +
				"client 0's write of value 0:1 (called at 1ms, acknowledged at 2ms); client 0's write of value 0:2 (called at 3ms, acknowledged at 4ms)",
		},
		{name: "lost acknowledged write", history: "a:w1 a. b:r b=0", rule: NotLinearizable, says: "client 0's write of value 0:1"},
		{name: "new-old inversion by two readers", history: "a:w1 a. a:w2 b:r b=2 c:r c=1 a.", rule: NotLinearizable, says: "client 2's read"},
		{name: "two readers at once may see new and old", history: "a:w1 a. a:w2 b:r c:r b=2 c=1 a."},
		{name: "value never written", history: "a:w1 a. b:r b=9", rule: NeverWritten, says: "value 0:9, which nobody had written"},
		{name: "value seen before its write", history: "b:r b=1 a:w1 a.", rule: SeenBeforeWritten},
		{name: "read of a failed write", history: "a:w1 a! b:r b=1", rule: FailedSeen, says: "failed at 2ms"},
		{name: "failed write unseen", history: "a:w1 a! b:r b=0"},
		{name: "ambiguous write never seen", history: "a:w1 a? b:r b=0 b:w2 b. b:r b=2"},
		{name: "ambiguous write seen late", history: "a:w1 a? b:r b=0 b:w2 b. b:r b=1"},
		{name: "ambiguous write seen, then unseen", history: "a:w1 a? b:r b=1 b:r b=0", rule: NotLinearizable},
		{name: "ambiguous write unseen, seen, unseen", history: "a:w1 a? b:w2 b. b:r b=2 b:r b=1 b:r b=2", rule: NotLinearizable},
		{name: "ambiguous write of an old session seen after the attach", history: "a:w1 a/1 @2 b:r b=1"},
		{name: "ambiguous write of an old session appears after the attach", history: "a:w1 a/1 @2 b:r b=0 b:r b=1", rule: NotLinearizable},
		{name: "ambiguous write of the same session appears late", history: "a:w1 a/2 @2 b:r b=0 b:r b=1"},
		{name: "zeroed block reads zeroes", history: "a:w1 a. a:z a. b:r b=0"},
		{name: "zeroed block shows old data", history: "a:w1 a. a:z a. b:r b=1", rule: NotLinearizable, says: "client 1's read"},
		{name: "zeroes not asked for", history: "a:z a. a:w1 a. b:r b=0", rule: NotLinearizable},
		{name: "ambiguous zero", history: "a:w1 a. a:z a? b:r b=1 b:r b=0"},
		{name: "ambiguous zero of an old session appears after the attach", history: "a:w1 a. a:z a/1 @2 b:r b=1 b:r b=0", rule: NotLinearizable},
		{name: "ambiguous zero of an old session seen after the attach", history: "a:w1 a. a:z a/1 @2 b:r b=0 b:r b=0"},
		{name: "ambiguous zero of an old session never seen", history: "a:w1 a. a:z a/1 @2 b:r b=1 b:r b=1"},
		{name: "power loss may lose an unflushed write", history: "a:w1 a. # b:r b=0"},
		{name: "power loss may keep an unflushed write", history: "a:w1 a. # b:r b=1"},
		{name: "power loss may keep any write since the flush", history: "a:w1 a. a:f a. a:w2 a. a:w3 a. # b:r b=2"},
		{name: "power loss must not lose a flushed write", history: "a:w1 a. a:f a. # b:r b=0", rule: NotLinearizable, says: "after the power loss at 5ms, client 1's read"},
		{name: "power loss must not bring back what a flush buried", history: "a:w1 a. a:w2 a. a:f a. # b:r b=1", rule: NotLinearizable},
		{name: "power loss must not lose a write with FUA", history: "a:w1 a. a:W2 a. # b:r b=1", rule: NotLinearizable},
		{name: "unacknowledged FUA may be lost", history: "a:w1 a. a:W2 # a? b:r b=1"},
		{name: "flush under way covers nothing", history: "a:w1 a. a:f # a? b:r b=0"},
		{name: "write after the flush's call is not covered", history: "a:f b:w1 b. a. # b:r b=0"},
		{name: "ambiguous write survives a power loss", history: "a:w1 a. a:f a. a:w2 # a? b:r b=2"},
		{name: "survivor changes", history: "a:w1 a. # b:r b=0 b:r b=1", rule: NotLinearizable},
		{name: "resurrected after the loss", history: "a:w1 a. a:w2 a. # b:r b=1 b:r b=2", rule: NotLinearizable},
		{name: "lost write appears under a newer one", history: "a:w1 a. # b:w2 b. b:r b=1", rule: NotLinearizable},
		{name: "survivor is safe from the next loss", history: "a:w1 a. # b:r b=1 # b:r b=1"},
		{name: "survivor lost in the next loss", history: "a:w1 a. # b:r b=1 # b:r b=0", rule: NotLinearizable},
		{name: "two losses, nobody looked between", history: "a:w1 a. a:w2 a. # # b:r b=1"},
		{name: "read under way during the loss shows the survivor", history: "a:w1 a. a:w2 a. b:r # b=1 b:r b=1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := record(t, c.history)
			if got, want := referenceLegal(h), c.rule == 0; got != want {
				t.Fatalf("by the definition: legal = %v, want %v", got, want)
			}
			for _, thorough := range []bool{false, true} {
				v := (&Checker{Thorough: thorough}).Check(h)
				switch {
				case v == nil && c.rule != 0:
					t.Fatalf("legal, want rule %v", c.rule)
				case v != nil && v.Rule != c.rule:
					t.Fatalf("rule %v, want %v: %v", v.Rule, c.rule, v)
				case v != nil && !strings.Contains(v.String(), c.says):
					t.Fatalf("text\n%v\ndoes not say\n%s", v, c.says)
				case v != nil:
					t.Log(v)
				}
			}
		})
	}
}

func TestBlocksAreJudgedApart(t *testing.T) {
	h := NewHistory(block.VolumeID{1})
	both := block.Range{First: 3, Count: 2}
	w := h.Call(10, 0, Write, both, 5, 6)
	h.Return(20, w)
	r := h.Call(30, 1, Read, both)
	h.Return(40, r, 5, 0)
	v := (&Checker{}).Check(h)
	if v == nil || v.Block != 4 || v.Ops[0] != r {
		t.Fatalf("got %v, want block 4 blamed on the read", v)
	}
}

func TestEqualTimesKeepTheOrderOfRecording(t *testing.T) {
	h := NewHistory(block.VolumeID{1})
	at := block.Range{First: 3, Count: 1}
	h.Return(5, h.Call(5, 0, Write, at, 1))
	h.Return(5, h.Call(5, 0, Read, at), 0)
	if v := (&Checker{}).Check(h); v == nil {
		t.Fatal("a stale read within one nanosecond passed")
	}
}

func TestTimeoutIsAViolation(t *testing.T) {
	h := NewHistory(block.VolumeID{1})
	at := block.Range{First: 3, Count: 1}
	for i := range 40 { // each may take effect at any time: 2^40 sets of them
		h.Call(1, i, Write, at, 1+uint64(i)/2)
	}
	for i := range uint64(20) {
		h.Return(1, h.Call(1, 50, Read, at), 1+i)
		h.Return(1, h.Call(1, 50, Read, at), 1+i)
	}
	for range 2 {
		h.Return(1, h.Call(1, 50, Read, at), 1)
		h.Return(1, h.Call(1, 50, Read, at), 2)
	}
	if v := (&Checker{Timeout: 1}).Check(h); v == nil || v.Rule != TimedOut {
		t.Fatalf("got %v, want a timeout", v)
	}
}

func TestCheckAllocatesNothingForUniqueWrites(t *testing.T) {
	h, c := busy(16, 2000), &Checker{}
	check := func() {
		if v := c.Check(h); v != nil {
			t.Fatal(v)
		}
	}
	check()
	least := testing.AllocsPerRun(10, check)
	for n := 0; n < 1000 && least > 0; n++ { // a search that was given up may go on for a while, and is counted too
		least = min(least, testing.AllocsPerRun(1, check))
	}
	if least > 0 {
		t.Fatalf("%v allocations per history", least)
	}
}
