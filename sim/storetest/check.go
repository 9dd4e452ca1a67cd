package storetest

// checker is what a store offers to prove that every chunk has one owner.
type checker interface {
	// Check compares what the maps, the journal index and the bitmap say about
	// every chunk and page. It is called at rest.
	Check() error
}

// Check lets the store check itself.
func (m *Machine) Check() {
	if !m.opened || m.stopped != "" || m.failure != nil {
		return
	}
	if c, ok := any(m.store).(checker); ok {
		if err := c.Check(); err != nil {
			m.fail("the store's own check: %w", err)
		}
	}
}

// Free returns the bytes that are free.
func (m *Machine) Free() int64 {
	_, free := m.store.Space()
	return free
}
