// Package invariant states what must hold. A broken invariant is a bug of ours,
// never bad input: it stops the machine that found it (a stopped replica is
// repaired, a wrong one spreads).
package invariant

import "fmt"

// Broken is the value that a violated invariant panics with. The body of a
// shard recovers it, stops that shard and reports it.
type Broken struct{ Claim string }

func (b Broken) Error() string { return "invariant broken: " + b.Claim }

// That panics with Broken unless holds. The claim is stated positively: what
// must be true. It is a constant; use Thatf where values help.
func That(holds bool, claim string) {
	if !holds {
		panic(Broken{Claim: claim})
	}
}

// Thatf is That with values in the claim. It allocates: not for the data path.
func Thatf(holds bool, format string, values ...any) {
	if !holds {
		panic(Broken{Claim: fmt.Sprintf(format, values...)})
	}
}
