//go:build !mutant_evict_early

package coordinator

// evictEarly is off: the mutant is not built in.
const evictEarly = false
