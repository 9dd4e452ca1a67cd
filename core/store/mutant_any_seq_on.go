//go:build mutant_any_seq

package store

// anySeq makes a store that takes records in any order: the simulation must notice.
const anySeq = true
