package filesystem

import (
	"context"
	"fmt"

	"github.com/lagan-storage/lagan/plugin/program"
)

// Check makes a file system fit for mounting. After a clean end it does
// nothing; otherwise it replays the journal and repairs what is safe to repair.
// ErrDamaged says that more is wrong: the device must not be mounted then.
//
// An xfs is left to Mount: the kernel replays its log, and there is nothing else
// that is safe to do unasked.
func Check(ctx context.Context, device string, t Type) error {
	switch t {
	case XFS:
		return nil
	case Ext4:
	default:
		_, err := ParseType(string(t))
		return err
	}
	if err := check(ctx, device, "-p"); err != nil {
		return fmt.Errorf("check %s: %w", device, err)
	}
	return nil
}

func check(ctx context.Context, device string, flags ...string) error {
	const (
		corrected = 1 // errors were corrected
		rebooting = 2 // likewise, where a mounted root would ask for a reboot
		left      = 4 // errors were left
	)
	status, err := program.Run(ctx, "e2fsck", append(flags, device)...)
	switch status {
	case 0, corrected, rebooting, corrected | rebooting:
		return nil
	}
	if status > 0 && status&left != 0 {
		return fmt.Errorf("%w: run e2fsck on it by hand: %w", ErrDamaged, err)
	}
	return err
}
