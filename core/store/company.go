package store

import (
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

// companyFor is how long a copy counts as company after it was read or written.
const companyFor = time.Second

// company remembers which copies were read or written last, so that a resync of
// one can yield to what else the disk has to do.
type company struct {
	last   use
	before use // the last of any other copy
}

type use struct {
	handle uint32 // 0: of none
	at     step.Time
}

// note takes one use of a copy.
func (c *company) note(handle uint32, now step.Time) {
	if c.last.handle != handle {
		c.before, c.last.handle = c.last, handle
	}
	c.last.at = now
}

// Company reports whether a copy other than h was read or written on this disk
// within the last companyFor.
func (s *Store) Company(h Handle) bool {
	u := s.company.last
	if u.handle == uint32(h) {
		u = s.company.before
	}
	return u.handle != 0 && s.now.Sub(u.at) < companyFor
}
