//go:build !mutant_torn_tail

package store

// acceptTornTail is a mutant: recovery trusts a journal tail that no sync
// covered without checking its data.
const acceptTornTail = false
