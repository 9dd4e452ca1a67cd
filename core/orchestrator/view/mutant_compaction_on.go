//go:build mutant_compaction

package view

// ignoreCompaction makes a view that goes on after the watch lost changes, as if it had not: the simulation must notice.
const ignoreCompaction = true
