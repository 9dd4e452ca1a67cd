//go:build !mutant_blind_retry

package coordinator

// blindRetry is off: the mutant is not built in.
const blindRetry = false
