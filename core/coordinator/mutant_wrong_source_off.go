//go:build !mutant_wrong_source

package coordinator

// wrongSource is off: the mutant is not built in.
const wrongSource = false
