//go:build mutant_late_frames

package replica

// lateFrames makes a replica that goes on taking frames of a connection that its coordinator has replaced: the simulation must notice.
const lateFrames = true
