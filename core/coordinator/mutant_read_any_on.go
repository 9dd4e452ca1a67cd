//go:build mutant_read_any

package coordinator

// readAny makes a coordinator that asks any member for a read, in sync or not: the simulation must notice.
const readAny = true
