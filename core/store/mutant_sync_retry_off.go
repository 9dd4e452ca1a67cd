//go:build !mutant_sync_retry

package store

// retrySync is off: the mutant is not built in.
const retrySync = false
