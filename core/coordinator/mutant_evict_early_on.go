//go:build mutant_evict_early

package coordinator

// evictEarly makes a coordinator that goes on without a member before its eviction is recorded: the simulation must notice.
const evictEarly = true
