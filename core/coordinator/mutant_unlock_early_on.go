//go:build mutant_unlock_early

package coordinator

// unlockEarly makes a coordinator that acknowledges a write and unlocks its range before the device knows: the simulation must notice.
const unlockEarly = true
