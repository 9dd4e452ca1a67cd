//go:build !mutant_repair_unlocked

package coordinator

// repairUnlocked is off: the mutant is not built in.
const repairUnlocked = false
