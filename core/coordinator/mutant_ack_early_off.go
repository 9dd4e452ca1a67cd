//go:build !mutant_ack_early

package coordinator

// ackEarly is off: the mutant that acknowledges an operation when the first member has accepted it is not built in.
const ackEarly = false
