//go:build mutant_stale_grant

package coordinator

// staleGrant makes a coordinator that answers reads after a grant ran out: the simulation must notice.
const staleGrant = true
