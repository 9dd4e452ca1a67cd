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

// verifySources finds out which of the blocks that a job read are bad, and reports
// false if it must read once more. Data that does not match may have moved
// meanwhile: only if a fresh look finds it at the same place is it corrupt.
func (s *Store) verifySources(i int32, out *step.Effects) (done bool) {
	j := s.jobs.table[i]
	for {
		if s.inspect(j); unverified && j.bad != 0 {
			out.Marks.Hit("mutant: unverified")
			j.bad = j.failed
		}
		if j.bad != 0 && s.readAgain(i, out) {
			return false
		}
		if j.bad&^j.failed == 0 {
			return true
		}
		before := j.sources
		if j.tries++; s.serves(j) && j.tries <= triesMax {
			if !s.locate(i, out) {
				return false // looked at again when its leaf is there
			}
		}
		if j.sources == before {
			out.Marks.Hit("store: read found corruption")
			return true
		}
		out.Marks.Hit("store: read looked again")
		if s.readSources(i, out) {
			return false
		}
	}
}

// serves reports whether what a job reads from is still there.
func (s *Store) serves(j *job) bool {
	return s.byNumber[j.top.number] != nil && (j.kind == jobScrub || s.byHandle[j.handle] != nil)
}
