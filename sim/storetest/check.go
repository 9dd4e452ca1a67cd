package storetest

// Check looks at what is on the disk from the outside: every slot and page of
// the newest root has one owner.
func (m *Machine) Check() {
	if m.config.Make != nil || m.faulty || m.failure != nil {
		return
	}
	if err := m.Fsck(); err != nil {
		m.fail("fsck: %w", err)
	}
}

// Free returns the bytes that are free.
func (m *Machine) Free() int64 {
	_, free := m.store.Space()
	return free
}
