// Package mounts reads the kernel's table of mounts of the calling process. It
// owns nothing and changes nothing. Drivers and their cleanup call it to learn
// what is mounted where, because the kernel is the only authority on that.
package mounts

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Mount is one line of the table.
type Mount struct {
	Major, Minor uint32 // the device number of the mounted file system
	Point        string // where it is mounted
	Type         string // such as ext4, or fuse.lagan
	Source       string // such as /dev/loop3
}

// Below reports whether m is mounted in the directory dir or deeper.
func (m Mount) Below(dir string) bool {
	rest, ok := strings.CutPrefix(m.Point, strings.TrimSuffix(filepath.Clean(dir), "/"))
	return ok && strings.HasPrefix(rest, "/") && rest != "/"
}

// List returns the mounts that this process sees, oldest first.
func List() ([]Mount, error) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the table of mounts: %w", err)
	}
	defer func() { _ = table.Close() }() // read only: nothing can be lost
	return Parse(table)
}

// Parse reads a table in the format of /proc/PID/mountinfo.
func Parse(table io.Reader) (list []Mount, err error) {
	lines := bufio.NewScanner(table)
	lines.Buffer(nil, 1<<20) // overlay mounts carry long options
	for lines.Scan() {
		m, err := parseLine(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("read the table of mounts: line %q: %w", lines.Text(), err)
		}
		list = append(list, m)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the table of mounts: %w", err)
	}
	return list, nil
}

// parseLine reads one line:
//
//	36 35 98:0 /root /point rw,noatime shared:1 - ext3 /dev/sda1 rw
//	id parent device root point options optional… - type source options
func parseLine(line string) (m Mount, err error) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 6 || len(right) < 1 {
		return m, fmt.Errorf("not in the format of mountinfo")
	}
	major, minor, _ := strings.Cut(left[2], ":")
	for text, number := range map[string]*uint32{major: &m.Major, minor: &m.Minor} {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return m, fmt.Errorf("device number %q: %w", left[2], err)
		}
		*number = uint32(n)
	}
	m.Point, m.Type = unescape(left[4]), right[0]
	if len(right) == 3 { // an empty source leaves no field
		m.Source = unescape(right[1])
	}
	return m, nil
}

// unescape undoes the octal escapes of blanks and backslashes (\040).
func unescape(field string) string {
	if !strings.Contains(field, `\`) {
		return field
	}
	var out strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if n, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(field[i])
	}
	return out.String()
}
