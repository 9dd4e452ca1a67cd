//go:build mutant_merge_shares

package store

// mergeShares makes a store whose merges do not wait for the other layers that stand on the one that goes: the simulation must notice.
const mergeShares = true
