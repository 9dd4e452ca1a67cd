//go:build mutant_adopt_lossy

package coordinator

// adoptLossy makes a coordinator that says that nothing was lost whatever was: the simulation must notice.
const adoptLossy = true
