//go:build !mutant_read_any

package coordinator

// readAny is off: the mutant is not built in.
const readAny = false
