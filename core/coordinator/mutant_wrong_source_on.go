//go:build mutant_wrong_source

package coordinator

// wrongSource makes a resync that copies from a member that may lack acknowledged records: the simulation must notice.
const wrongSource = true
