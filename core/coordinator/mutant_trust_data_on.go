//go:build mutant_trust_data

package coordinator

// trustData makes a coordinator that does not compare what a member read with its checksums: the simulation must notice.
const trustData = true
