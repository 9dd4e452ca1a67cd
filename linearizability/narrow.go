package linearizability

import (
	"slices"

	"github.com/anishathalye/porcupine"
)

// contextMin is how many accesses a picture has at least, if there are so many
// before what is wrong: a read alone says little.
const contextMin = 40

// narrow returns a short piece of r that is illegal by itself, given a longer
// one and the entries that contradict each other: cut where the state is known,
// and not before the first of those; of that the shortest beginning. A person
// has to read it.
func (c *Checker) narrow(r *register, failing part, entries []uint32) part {
	failing.accesses = slices.Clone(failing.accesses)
	parts := c.parts(r, 1)
	if last := slices.IndexFunc(parts, c.illegal); last >= 0 {
		failing = withContext(parts[:last+1], entries)
	}
	ends := make([]int64, 0, len(failing.accesses))
	for i := range failing.accesses {
		ends = append(ends, failing.accesses[i].ret)
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)
	// What happened until some time is legal if what happened until later is.
	least, most := 0, len(ends)-1
	for least < most {
		middle := (least + most) / 2
		if c.illegal(failing.until(ends[middle])) {
			most = middle
		} else {
			least = middle + 1
		}
	}
	if most >= 0 {
		if p := failing.until(ends[most]); c.illegal(p) {
			return p
		}
	}
	return failing
}

// withContext returns the last of parts with those before it that belong to the
// story.
func withContext(parts []part, entries []uint32) part {
	first := len(parts) - 1
	size := len(parts[first].accesses)
	for first > 0 && size+len(parts[first-1].accesses) <= searchShownMax {
		begins := parts[first].accesses[0].entry
		if size >= contextMin && !slices.ContainsFunc(entries, func(i uint32) bool { return i < begins }) {
			break
		}
		first--
		size += len(parts[first].accesses)
	}
	whole := part{from: parts[first].from}
	for _, p := range parts[first:] {
		whole.accesses = append(whole.accesses, p.accesses...)
	}
	return whole
}

func (c *Checker) illegal(p part) bool {
	return porcupine.CheckOperationsTimeout(p.model(), p.operations(nil), c.Timeout) == porcupine.Illegal
}

// until returns what is known of p at a time: what has returned, and the writes
// that are under way.
func (p part) until(at int64) part {
	early := part{from: p.from}
	for i := range p.accesses {
		if a := &p.accesses[i]; a.ret <= at || a.kind != Read && a.call <= at {
			early.accesses = append(early.accesses, *a)
		}
	}
	return early
}
