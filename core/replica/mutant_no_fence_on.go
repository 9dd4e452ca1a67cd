//go:build mutant_no_fence

package replica

// fenceOld is off in this mutant: the simulation must notice.
const fenceOld = false
