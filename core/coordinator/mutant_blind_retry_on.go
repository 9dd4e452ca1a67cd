//go:build mutant_blind_retry

package coordinator

// blindRetry makes a coordinator that re-issues a transaction of unknown outcome without its guards: the simulation must notice.
const blindRetry = true
