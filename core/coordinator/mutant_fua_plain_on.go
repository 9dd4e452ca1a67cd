//go:build mutant_fua_plain

package coordinator

// fuaPlain makes a coordinator that acknowledges a FUA write as it does a plain one: the simulation must notice.
const fuaPlain = true
