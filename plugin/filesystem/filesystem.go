// Package filesystem makes, recognises, checks, mounts and grows the file
// systems of volumes.
//
//	blank ──Make──▶ ext4, xfs ──Check──▶ ──Mount──▶ mounted ──Unmount──▶
//	  ▲                                                │ Grow
//	  └── Erase ── unknown (an interrupted Make)       ▼
//
// It owns nothing: the caller says which device and where, and keeps the record
// of whether a volume was formatted. It promises never to make a file system
// over anything, and that no thread of the calling process waits for the device
// in a way that cannot be killed: the caller may be the one that serves it. So
// all but Probe, which only reads, is left to programs (mkfs, e2fsck, mount,
// umount). One that hangs ends when the device is aborted. The use cases of a
// node call this package.
package filesystem

import (
	"errors"
	"fmt"
)

// Type names a kind of file system, as mount(8) and the specification of a
// volume do.
type Type string

// The types that a volume can have.
const (
	Ext4 Type = "ext4"
	XFS  Type = "xfs"
)

// Types returns the known types, the default first.
func Types() []Type { return []Type{Ext4, XFS} }

// ParseType returns the type with that name.
func ParseType(name string) (Type, error) {
	for _, t := range Types() {
		if string(t) == name {
			return t, nil
		}
	}
	return "", fmt.Errorf("unknown file system %q: use one of %v", name, Types())
}

var (
	// ErrNotBlank says that a device carries something, so that no file system
	// is made on it.
	ErrNotBlank = errors.New("device is not blank")
	// ErrDamaged says that a check found what it may not repair by itself.
	ErrDamaged = errors.New("file system is damaged")
	// ErrMounted says that a file system is in use.
	ErrMounted = errors.New("file system is in use")
	// ErrGrowUnmounted says that a file system can grow here, but not while
	// it is mounted: unmount it and use GrowUnmounted.
	ErrGrowUnmounted = errors.New("file system must be unmounted to grow")
)
