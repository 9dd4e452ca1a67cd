//go:build !mutant_merge_shares

package store

// mergeShares is off: the mutant is not built in.
const mergeShares = false
