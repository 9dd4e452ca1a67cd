package fuse

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/plugin/device/mounts"
)

const (
	fileSystemType = "fuse.lagan"
	// controlDir is where every machine has the switches of its FUSE
	// connections, once somebody has mounted them.
	controlDir   = "/sys/fs/fuse/connections"
	controlMagic = 0x65735543
)

// abortConnection makes every request on the FUSE file system fail, now and
// later. It asks no server, so a hung one does not matter. A connection that is
// gone already is fine.
func abortConnection(m mounts.Mount) error {
	if err := mountControl(); err != nil {
		return err
	}
	name := filepath.Join(controlDir, strconv.Itoa(int(m.Minor)), "abort")
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		_, err = file.WriteString("1")
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("abort the connection of %s: %w", m.Point, err)
	}
	return nil
}

func mountControl() error {
	var stat unix.Statfs_t
	if err := unix.Statfs(controlDir, &stat); err != nil {
		return fmt.Errorf("look for %s: %w", controlDir, err)
	}
	if stat.Type == controlMagic {
		return nil
	}
	if err := unix.Mount("fusectl", controlDir, "fusectl", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount fusectl on %s: %w", controlDir, err)
	}
	return nil
}

// detachLazily takes a mount out of the tree; it ends with its last user.
func detachLazily(point string) error {
	err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // EINVAL: no mount any more
		return fmt.Errorf("unmount %s: %w", point, err)
	}
	return nil
}

// force makes our file system m useless: its requests fail at once, and what is
// mounted from its loop devices leaves the tree. It goes on after an error, and
// returns where something was mounted. Unmounting m itself is left to the
// caller: that makes the name of the loop devices' file unknown.
func force(m mounts.Mount, table []mounts.Mount, loops []uint32) (points []string, err error) {
	if controlErr := abortConnection(m); controlErr != nil {
		// Trying to force an unmount aborts as well, where the mount is still
		// in the tree. It stays there while it has a loop device (EBUSY).
		forced := unix.Unmount(m.Point, unix.MNT_FORCE|unix.UMOUNT_NOFOLLOW)
		if forced != nil && !errors.Is(forced, unix.EBUSY) {
			err = errors.Join(controlErr, fmt.Errorf("force the unmount of %s: %w", m.Point, forced))
		}
	}
	for _, number := range loops {
		points = append(points, mountsOn(table, number)...)
	}
	for _, point := range slices.Backward(points) { // the newest lies on top
		err = errors.Join(err, detachLazily(point))
	}
	return points, err
}
