//go:build !mutant_map_early

package store

// mapEarly is off: the mutant is not built in.
const mapEarly = false
