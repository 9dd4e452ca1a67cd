//go:build !mutant_copy_any

package replica

// copyAny is off: the mutant is not built in.
const copyAny = false
