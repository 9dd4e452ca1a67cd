//go:build !mutant_compaction

package view

// ignoreCompaction is off: the mutant is not built in.
const ignoreCompaction = false
