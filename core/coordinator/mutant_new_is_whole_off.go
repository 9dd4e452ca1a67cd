//go:build !mutant_new_is_whole

package coordinator

// newIsWhole is off: the mutant is not built in.
const newIsWhole = false
