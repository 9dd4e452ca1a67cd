//go:build !mutant_skip_dirtied

package coordinator

// skipDirtied is off: the mutant is not built in.
const skipDirtied = false
