//go:build mutant_torn_tail

package store

const acceptTornTail = true
