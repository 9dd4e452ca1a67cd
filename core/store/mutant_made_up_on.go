//go:build mutant_made_up

package store

// madeUp makes a store that takes blocks that its source has lost for zeroes: the simulation must notice.
const madeUp = true
