//go:build mutant_repair_unlocked

package coordinator

// repairUnlocked makes a coordinator that does not lock the range of a block that it writes anew: the simulation must notice.
const repairUnlocked = true
