//go:build mutant_copy_any

package replica

// copyAny makes a replica that lets a resync copy what it has, complete and stable or not: the simulation must notice.
const copyAny = true
