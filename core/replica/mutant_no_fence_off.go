//go:build !mutant_no_fence

package replica

// fenceOld makes a replica refuse the frames of a coordinator that was replaced.
const fenceOld = true
