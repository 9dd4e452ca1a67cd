// Package device is the contract between a volume's engine and the drivers that
// show the volume to a kernel or to another client.
//
//	           Attach(volume, backend)
//	engine ───────────────────────────▶ driver ───▶ /dev/…
//	       ◀─────────────────────────── Submit(request)
//	       ───────────────────────────▶ request.Done
//
// The engine never knows the driver and the driver never knows the engine: each
// side holds one interface of this package. It owns those interfaces, the
// request that passes between them and the errors both understand; it has no
// behaviour of its own. The use cases of a node call Attacher and Device, a
// driver (plugin/device/fuse) calls Backend.
package device

import (
	"context"
	"errors"

	"github.com/lagan-storage/lagan/core/block"
)

// What a backend reports with a request. A driver turns these into the errno in
// the comment; every other error is an I/O error (EIO) to the client.
var (
	// ErrNoSpace says that the disks under the volume are full (ENOSPC).
	ErrNoSpace = errors.New("no space left for the volume")
	// ErrGone says that the volume is no longer served here: it was detached
	// or taken over by another node (ENODEV).
	ErrGone = errors.New("volume is no longer attached here")
	// ErrTimeout says that the replicas did not answer in time (ETIMEDOUT).
	ErrTimeout = errors.New("replicas of the volume did not answer in time")
)

// What an Attacher or a Device reports to its caller.
var (
	// ErrBusy says that somebody still uses the device. It stays attached.
	ErrBusy = errors.New("device is in use")
	// ErrAttached says that the volume has a device already, or that a killed
	// process left one: the driver's cleanup removes that.
	ErrAttached = errors.New("volume has a device already")
)

// Volume says what to attach.
type Volume struct {
	Name string         // for people: shows up in the table of mounts
	ID   block.VolumeID // names the files of the driver
	Size int64          // bytes, a multiple of block.Size
}

// Attacher makes devices of volumes. It is a driver's front door.
type Attacher interface {
	// Attach returns once the device can be opened. The backend may be called
	// before that, and until Detach has returned. After Abort a last request
	// may reach it: it answers ErrGone. The context bounds the attaching only.
	Attach(ctx context.Context, volume Volume, backend Backend) (Device, error)
}

// Device is one attached volume as this machine sees it. Its methods may be
// called from any goroutine.
type Device interface {
	// Path returns the block device to mount, such as /dev/loop3.
	Path() string
	// Resize makes the device grow to size bytes. It does not shrink. The
	// backend must accept the new range before the call.
	Resize(ctx context.Context, size int64) error
	// Detach writes out what the kernel still caches, flushes the backend and
	// removes the device. It returns ErrBusy while a file system is mounted
	// from it. When the context ends in the middle, the device may be there
	// still: Abort removes it.
	Detach(ctx context.Context) error
	// Abort removes the device without asking anybody: requests in flight
	// fail with EIO, mounts from it are detached lazily, nothing is written
	// out. It does not wait for the backend, works while a Detach hangs, and
	// may be called again.
	Abort() error
}
