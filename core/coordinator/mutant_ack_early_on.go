//go:build mutant_ack_early

package coordinator

// ackEarly makes a coordinator that acknowledges an operation when the first member has accepted it: the simulation must notice.
const ackEarly = true
