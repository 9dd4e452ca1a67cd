package step

// Mark names a place in core that a thorough test must have passed: a branch
// that only a rare fault reaches. The simulator counts them and fails when one
// is never hit.
type Mark string

// Marks receives the marks that machines emit. A nil Counts drops them: that
// is how production runs.
type Marks struct{ Counts map[Mark]int }

// Hit counts m.
func (m *Marks) Hit(mark Mark) {
	if m.Counts != nil {
		m.Counts[mark]++
	}
}
