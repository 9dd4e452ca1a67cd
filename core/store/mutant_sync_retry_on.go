//go:build mutant_sync_retry

package store

// retrySync makes a store that tries a failed sync again and believes the next one: the simulation must notice.
const retrySync = true
