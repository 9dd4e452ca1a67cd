package docker

import (
	"os"
	"path/filepath"
	"strings"
)

// Held reports whether what is mounted at target is also mounted elsewhere: for
// a container, in a mount namespace of its own.
func Held(target string) (bool, error) { return heldIn("/proc", target) }

func heldIn(proc, target string) (bool, error) {
	own, err := os.ReadFile(filepath.Join(proc, "self", "mountinfo"))
	if err != nil {
		return false, err
	}
	device := ""
	for line := range strings.Lines(string(own)) {
		if m, ok := parseMount(line); ok && m.target == target {
			device = m.device // the last one covers the others
		}
	}
	if device == "" {
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
		if shows(string(text), device, target) {
			return true, nil
		}
	}
	return false, nil
}

// shows reports whether a table has the device anywhere but at target.
func shows(table, device, target string) bool {
	for line := range strings.Lines(table) {
		if m, ok := parseMount(line); ok && m.device == device && m.target != target {
			return true
		}
	}
	return false
}

// mountLine is what matters of a line of /proc/PID/mountinfo, see proc(5).
type mountLine struct{ device, target string }

func parseMount(line string) (mountLine, bool) {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return mountLine{}, false
	}
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	return mountLine{device: fields[2], target: plain.Replace(fields[4])}, true
}
