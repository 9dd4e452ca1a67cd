package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

// What a disk does not give at once it may give the second time: an error that
// passes, or a read that went to another place. Whatever is concluded from a
// bad read is for good (a block is lost, a whole page of descriptors is), so it
// is concluded from two.

// readAgain reads the bad blocks of a job a second time, each by itself, so that
// one does not hide that the next is good. It reports false if that was done
// before, or there is nothing on the disk to read.
func (s *Store) readAgain(i int32, out *step.Effects) bool {
	j := s.jobs.table[i]
	if j.again {
		return false
	}
	j.again, j.failed = true, 0
	for b := range j.sources {
		if j.bad&(1<<b) != 0 {
			s.readBlocks(i, b, b+1, out)
		}
	}
	if j.waiting == 0 {
		return false
	}
	out.Marks.Hit("store: read a second time")
	return true
}

// inspect notes which of the blocks that a job read are not what was written.
func (s *Store) inspect(j *job) {
	j.bad = j.failed
	for b := range j.sources {
		if j.sources[b].kind == sourceDisk && block.ChecksumOf(s.blockOf(j, b)) != j.sources[b].sum {
			j.bad |= 1 << b
		}
	}
}
