//go:build mutant_duplicate

package replica

// reapply makes a replica that applies a record which it has already: the simulation must notice.
const reapply = true
