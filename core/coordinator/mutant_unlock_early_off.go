//go:build !mutant_unlock_early

package coordinator

// unlockEarly is off: the mutant is not built in.
const unlockEarly = false
