//go:build !mutant_trim_local

package coordinator

// trimLocal is off: the mutant is not built in.
const trimLocal = false
