//go:build !mutant_fua_plain

package coordinator

// fuaPlain is off: the mutant is not built in.
const fuaPlain = false
