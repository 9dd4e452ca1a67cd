package filesystem

import (
	"context"
	"fmt"

	"github.com/lagan-storage/lagan/plugin/program"
)

// Make makes a file system on a blank device; anything else is refused with
// ErrNotBlank. When it returns nil the file system is durable.
//
// Discarding first is left out: a blank device has nothing to discard.
func Make(ctx context.Context, device string, t Type) error {
	content, err := Probe(device)
	if err != nil {
		return err
	}
	if !content.Blank {
		return fmt.Errorf("make %s on %s: %w: it carries %s", t, device, ErrNotBlank, content)
	}
	switch t {
	case Ext4:
		// The kernel initialises the inode tables in the background; a
		// blank volume reads as zeroes, so little is left to do.
		_, err = program.Run(ctx, "mkfs.ext4", "-q", "-b", "4096", "-E", "nodiscard,lazy_itable_init=1", device)
	case XFS:
		_, err = program.Run(ctx, "mkfs.xfs", "-q", "-K", device)
	default:
		_, err = ParseType(string(t))
	}
	if err == nil {
		_, err = program.Run(ctx, "sync", device)
	}
	if err != nil {
		return fmt.Errorf("make %s on %s: %w", t, device, err)
	}
	return nil
}

// Erase makes a device blank whose Make was interrupted. A device with a
// complete file system of ours is refused with ErrNotBlank. Whether unknown data
// may go is the caller's to know: only what the volume's record calls never
// formatted, and no container ever saw, is the rest of an interrupted Make.
func Erase(ctx context.Context, device string) error {
	content, err := Probe(device)
	if err != nil {
		return err
	}
	if content.Type != "" {
		return fmt.Errorf("erase %s: %w: it carries %s", device, ErrNotBlank, content)
	}
	if !content.Blank {
		// All of it: a new file system must not find blocks of the old.
		if _, err = program.Run(ctx, "blkdiscard", "--zeroout", device); err == nil {
			_, err = program.Run(ctx, "sync", device)
		}
	}
	if err != nil {
		return fmt.Errorf("erase %s: %w", device, err)
	}
	return nil
}
