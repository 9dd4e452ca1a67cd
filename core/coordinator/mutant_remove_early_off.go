//go:build !mutant_remove_early

package coordinator

// removeEarly is off: the mutant is not built in.
const removeEarly = false
