//go:build mutant_small_target

package coordinator

// smallTarget makes a resync that leaves its target as small as it was: the simulation must notice.
const smallTarget = true
