package storetest

import "github.com/lagan-storage/lagan/sim/fsck"

// Check looks at what is on the disk from the outside: every slot and page of
// the newest root has one owner, and what power losses spare is what was written.
func (m *Machine) Check() {
	if m.config.Make != nil || m.faulty || m.failure != nil {
		return
	}
	if err := fsck.CheckAll(m.disk); err != nil {
		m.fail("fsck: %w", err)
	}
}

// Free returns the bytes that are free.
func (m *Machine) Free() int64 {
	_, free := m.store.Space()
	return free
}
