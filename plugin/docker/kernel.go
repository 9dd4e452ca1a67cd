package docker

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/lagan-storage/lagan/plugin/device/mounts"
)

// Held reports whether what is mounted at target is also mounted elsewhere: for
// a container, in a mount namespace of its own.
func Held(target string) (bool, error) { return heldIn("/proc", target) }

func heldIn(proc, target string) (bool, error) {
	own, err := os.ReadFile(filepath.Join(proc, "self", "mountinfo"))
	if err != nil {
		return false, err
	}
	table, err := mounts.Parse(bytes.NewReader(own))
	if err != nil {
		return false, err
	}
	var device mounts.Mount
	for _, m := range table {
		if m.Point == target {
			device = m // the last one covers the others
		}
	}
	if device.Point == "" {
		return false, nil
	}
	tables, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "mountinfo"))
	if err != nil {
		return false, err
	}
	seen := map[string]bool{} // mount namespaces
	for _, table := range tables {
		if space, err := os.Readlink(filepath.Join(filepath.Dir(table), "ns", "mnt")); err == nil {
			if seen[space] {
				continue
			}
			seen[space] = true
		}
		text, err := os.ReadFile(table)
		if err != nil {
			continue // the process has ended
		}
		if other, err := mounts.Parse(bytes.NewReader(text)); err == nil && shows(other, device) {
			return true, nil
		}
	}
	return false, nil
}

// shows reports whether a table has the device of m anywhere but where m is.
func shows(table []mounts.Mount, m mounts.Mount) bool {
	for _, other := range table {
		if other.Major == m.Major && other.Minor == m.Minor && other.Point != m.Point {
			return true
		}
	}
	return false
}
