//go:build !mutant_made_up

package store

// madeUp is off: the mutant is not built in.
const madeUp = false
