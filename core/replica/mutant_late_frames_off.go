//go:build !mutant_late_frames

package replica

// lateFrames is off: the mutant is not built in.
const lateFrames = false
