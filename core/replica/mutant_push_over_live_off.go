//go:build !mutant_push_over_live

package replica

// pushOverLive is off: the mutant is not built in.
const pushOverLive = false
