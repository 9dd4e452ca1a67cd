//go:build mutant_new_is_whole

package coordinator

// newIsWhole makes a copy that was just made be taken for filled: the simulation must notice.
const newIsWhole = true
