//go:build !mutant_small_target

package coordinator

// smallTarget is off: the mutant is not built in.
const smallTarget = false
