//go:build !mutant_trust_data

package coordinator

// trustData is off: the mutant is not built in.
const trustData = false
