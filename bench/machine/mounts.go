package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lagan-storage/lagan/plugin/device/mounts"
)

// Mounts returns what is mounted on the machine.
func (m *Machine) Mounts() ([]mounts.Mount, error) {
	table, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", m.pid()))
	if err != nil {
		return nil, fmt.Errorf("read the table of mounts of machine %s: %w", m.p.Name, err)
	}
	defer func() { _ = table.Close() }() // read only: nothing can be lost
	return mounts.Parse(table)
}

// forget unmounts, on the machine alone, the volumes that are mounted on this
// computer. The machine began with a copy of all its mounts, and a copy keeps the
// device in use that somebody else wants to end.
func (m *Machine) forget(ctx context.Context) error {
	table, err := m.Mounts()
	if err != nil {
		return err
	}
	if points := volumes(table, backingFile); len(points) > 0 {
		_, err = m.Run(ctx, nil, "umount", append([]string{"--lazy", "--"}, points...)...)
	}
	return err
}

// volumes returns where the volumes of a table are mounted, and their files;
// backing returns the file of a loop device.
func volumes(table []mounts.Mount, backing func(device string) string) (points []string) {
	files := map[string]bool{}
	for _, m := range table {
		if m.Type == "fuse.lagan" {
			files[m.Point] = true
		}
	}
	for _, m := range table {
		if files[m.Point] || strings.HasPrefix(m.Source, "/dev/loop") && files[backing(m.Source)] {
			points = append(points, m.Point)
		}
	}
	return points
}

func backingFile(device string) string {
	text, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(device), "loop", "backing_file"))
	if err != nil {
		return "" // it is gone
	}
	return strings.TrimSpace(string(text))
}
