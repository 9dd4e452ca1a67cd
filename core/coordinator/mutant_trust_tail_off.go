//go:build !mutant_trust_tail

package coordinator

// trustTail is off: the mutant is not built in.
const trustTail = false
