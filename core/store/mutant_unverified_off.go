//go:build !mutant_unverified

package store

// unverified is off: the mutant is not built in.
const unverified = false
