//go:build mutant_trust_tail

package coordinator

// trustTail makes a resync begin with all that its target had accepted, stable or not: the simulation must notice.
const trustTail = true
