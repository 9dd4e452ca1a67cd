//go:build mutant_trim_local

package coordinator

// trimLocal makes a coordinator that sends a zero to the first member only, and nothing to the others: the simulation must notice.
const trimLocal = true
