package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
)

const taintedFile = "tainted"

// Markers is a file that counts until the machine is booted anew.
type Markers struct {
	name string
	boot block.BootID
	lock *os.File

	mu     sync.Mutex        // guards what follows
	taints map[string]uint32 // by path of the disk
}

var _ host.Markers = (*Markers)(nil)

// taintRecord is the file. One of another boot says nothing.
type taintRecord struct {
	Boot  block.BootID      `json:"boot"`
	Disks map[string]uint32 `json:"disks"`
}

// OpenMarkers takes dir, the directory for what ends with the boot, and reads the
// markers of the boot named boot from it. One process may use it, as it may a
// data directory.
func OpenMarkers(dir string, boot block.BootID) (*Markers, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("make the runtime directory: %w", err)
	}
	lock, err := acquire(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("runtime directory %s: %w", dir, err)
	}
	m := &Markers{name: filepath.Join(dir, taintedFile), boot: boot, lock: lock, taints: map[string]uint32{}}
	if err := m.load(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Markers) load() error {
	data, err := os.ReadFile(m.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var r taintRecord
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return fmt.Errorf("read which disks failed since the boot: %s: %w: reboot the machine, or remove the file if no disk failed", m.name, err)
	}
	if r.Boot == m.boot && r.Disks != nil {
		m.taints = r.Disks
	}
	return nil
}

// Close lets another process in.
func (m *Markers) Close() error { return m.lock.Close() }

// Taint implements host.Markers.
func (m *Markers) Taint(disk string) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.taints[disk]
}

// SetTaint implements host.Markers.
func (m *Markers) SetTaint(disk string, number uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.taints[disk] = number
	data, err := json.Marshal(taintRecord{Boot: m.boot, Disks: m.taints})
	if err != nil {
		return fmt.Errorf("encode the disks that failed: %w", err)
	}
	return replace(m.name, data)
}

// ReadBootID returns what the kernel calls this boot.
func ReadBootID() (id block.BootID, err error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		err = id.UnmarshalText([]byte(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", "")))
	}
	if err != nil {
		return id, fmt.Errorf("read the identity of this boot: %w", err)
	}
	return id, nil
}
