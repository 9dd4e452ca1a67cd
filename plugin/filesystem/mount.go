package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/program"
)

// Mount mounts a device at a directory, which is made when missing. Options are
// added to our own and win where mount(8) lets them.
//
// An xfs is always mounted nouuid: a clone, and a dead mount of the same volume
// on this kernel, have the same identity. An ext4 that finds itself broken turns
// read-only.
func Mount(ctx context.Context, device, target string, t Type, options ...string) error {
	var own []string
	switch t {
	case Ext4:
		own = []string{"errors=remount-ro"}
	case XFS:
		own = []string{"nouuid"}
	default:
		_, err := ParseType(string(t))
		return err
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return noMountPoint(target, err)
	}
	// -i: no helper of the type, which could do anything.
	_, err := program.Run(ctx, "mount", "-i", "-t", string(t), "-o", strings.Join(append(own, options...), ","), device, target)
	if err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	return nil
}

// CheckTarget refuses a target of Mount that is no directory and cannot become
// one by its form or by what is there.
func CheckTarget(target string) error {
	for path := target; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path): // what is above it counts
			continue
		case err == nil && !info.IsDir():
			err = fmt.Errorf("%s is no directory", path)
		}
		if err != nil {
			return noMountPoint(target, err)
		}
		return nil
	}
}

func noMountPoint(target string, err error) error {
	return &volume.Error{
		Kind:   volume.ErrInvalidOption,
		What:   fmt.Sprintf("cannot mount at %.200q: there is no such directory, and it cannot be made", target),
		Causes: []string{fmt.Sprintf("%.300v", err)},
		Fix:    "name another directory",
	}
}

// Unmount writes everything out and unmounts. ErrMounted says that somebody
// still has files open; it stays mounted then. Nothing mounted is fine.
func Unmount(ctx context.Context, target string) error {
	const failed = 32 // of umount(8); the message tells why
	status, err := program.Run(ctx, "umount", target)
	switch {
	case err == nil, status == failed && strings.Contains(err.Error(), "not mounted"):
		return nil
	case status == failed && strings.Contains(err.Error(), "busy"):
		return fmt.Errorf("unmount %s: %w: %w", target, ErrMounted, err)
	}
	return fmt.Errorf("unmount %s: %w", target, err)
}
