//go:build mutant_unverified

package store

// unverified makes a store that does not compare what it read with its checksums: the simulation must notice.
const unverified = true
