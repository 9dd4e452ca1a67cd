//go:build !mutant_stale_grant

package coordinator

// staleGrant is off: the mutant that answers reads after a grant ran out is not built in.
const staleGrant = false
