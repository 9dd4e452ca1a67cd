//go:build !mutant_any_seq

package store

// anySeq is off: the mutant is not built in.
const anySeq = false
