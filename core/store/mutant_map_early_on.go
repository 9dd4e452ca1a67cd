//go:build mutant_map_early

package store

// mapEarly makes a store that journals a mapping before its data is written: the simulation must notice.
const mapEarly = true
