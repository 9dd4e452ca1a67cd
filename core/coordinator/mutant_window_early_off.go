//go:build !mutant_window_early

package coordinator

// windowEarly is off: the mutant is not built in.
const windowEarly = false
