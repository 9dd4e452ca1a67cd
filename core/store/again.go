package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

// What a disk does not give at once it may give the second time: an error that
// passes, or a read that went to another place. Whatever is concluded from a
// bad read is for good (a block is lost, a whole page of descriptors is), so it
// is concluded from two.

// readAgain reads what is not what was written a second time. It reports false if
// that was done before, or there is nothing on the disk to read.
func (s *Store) readAgain(i int32, out *step.Effects) bool {
	j := s.jobs.table[i]
	if j.again {
		return false
	}
	j.again, j.failed = true, false
	if !s.readBlocks(i, s.mismatched(j), out) {
		return false
	}
	out.Marks.Hit("store: read a second time")
	return true
}

// mismatched returns the blocks of a job that are not what was written.
func (s *Store) mismatched(j *job) (mask uint16) {
	for b := range j.sources {
		if j.sources[b].kind == sourceDisk && block.ChecksumOf(s.blockOf(j, b)) != j.sources[b].sum {
			mask |= 1 << b
		}
	}
	return mask
}
