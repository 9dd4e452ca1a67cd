//go:build !mutant_flush_local

package coordinator

// flushLocal is off: the mutant that acknowledges a flush when one member is durable is not built in.
const flushLocal = false
