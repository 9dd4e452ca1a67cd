//go:build !mutant_adopt_lossy

package coordinator

// adoptLossy is off: the mutant is not built in.
const adoptLossy = false
