//go:build !mutant_torn_cut

package store

// tornCut is off: the mutant is not built in.
const tornCut = false
