package device

import "github.com/lagan-storage/lagan/core/block"

// Keeper keeps devices open while no process serves them. What it keeps of one
// outlives this process, however that ends. Its methods may be called from any
// goroutine and must not wait for a device.
type Keeper interface {
	// Keep takes copies of a device's descriptors and its record, in place of what
	// it had of the volume; without descriptors it keeps those that it has.
	Keep(volume block.VolumeID, record []byte, descriptors ...int) error
	// Forget gives them up.
	Forget(volume block.VolumeID) error
}

// Kept is what a Keeper had of a device. Its descriptors are the receiver's.
type Kept struct {
	Volume      block.VolumeID
	Record      []byte
	Descriptors []int
}

// Lasting is a device that can outlive this process.
type Lasting interface {
	// Remember keeps what its user wants to know when it is served again.
	Remember(memory []byte)
	// Leave answers nothing from now on, and reports whether the next process is
	// asked again; else nothing has changed.
	Leave() bool
}
