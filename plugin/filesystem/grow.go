package filesystem

import (
	"context"
	"fmt"
	"strings"

	"github.com/lagan-storage/lagan/plugin/program"
)

// Grow makes a mounted file system take all of its device. ErrGrowUnmounted says
// that this machine cannot do it while the file system is mounted.
func Grow(ctx context.Context, device, target string, t Type) (err error) {
	switch t {
	case Ext4:
		// The kernel asks for CAP_SYS_RESOURCE, which some containers lack.
		_, err = program.Run(ctx, "resize2fs", device)
		if err != nil && strings.Contains(err.Error(), "Permission denied to resize") {
			err = fmt.Errorf("%w: CAP_SYS_RESOURCE is missing: %w", ErrGrowUnmounted, err)
		}
	case XFS:
		_, err = program.Run(ctx, "xfs_growfs", target)
	default:
		_, err = ParseType(string(t))
	}
	if err != nil {
		return fmt.Errorf("grow the file system at %s: %w", target, err)
	}
	return nil
}

// GrowUnmounted makes an ext4 take all of its device while it is not mounted. It
// checks all of it first, which resize2fs demands. An xfs grows mounted only.
func GrowUnmounted(ctx context.Context, device string, t Type) (err error) {
	switch t {
	case Ext4:
		if err = check(ctx, device, "-f", "-p"); err == nil {
			_, err = program.Run(ctx, "resize2fs", device)
		}
	case XFS:
		err = fmt.Errorf("an xfs grows only while it is mounted")
	default:
		_, err = ParseType(string(t))
	}
	if err != nil {
		return fmt.Errorf("grow the file system on %s: %w", device, err)
	}
	return nil
}
