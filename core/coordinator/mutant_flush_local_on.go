//go:build mutant_flush_local

package coordinator

// flushLocal makes a coordinator that acknowledges a flush when one member is durable: the simulation must notice.
const flushLocal = true
