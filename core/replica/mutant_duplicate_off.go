//go:build !mutant_duplicate

package replica

// reapply is off: the mutant is not built in.
const reapply = false
