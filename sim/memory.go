package sim

import "github.com/lagan-storage/lagan/sim/disk"

// Memory is what runs leave to those after them: buffers, and pages of disks. A
// run with used memory is the same run, only faster. Not safe for concurrent use.
type Memory struct {
	pool  pool // of every process: a dead one's memory serves the next
	disks disk.Memory
}

// GCPercent is what GOGC is best for a swarm: what its worlds hold for long is
// little, and they throw away much.
const GCPercent = 400

// retire leaves the memory of a world that ended to the next, unless something was
// wrong with it.
func (w *World) retire(wrong *Violation) {
	if wrong != nil {
		*w.memory = Memory{}
		return
	}
	for _, b := range w.bodies {
		for _, d := range b.drives {
			d.device.Retire()
		}
	}
}
