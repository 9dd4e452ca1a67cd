package disk

import "bytes"

const (
	pageShift = 14
	pageSize  = 1 << pageShift // content is kept, shared and hashed by pages of 16 KiB
	grain     = 64             // the unit of addressing and of unreadable spots
)

var zeroPage [pageSize]byte // constant table: never written, what an absent page holds

// page is 16 KiB of content. A page whose owner is not the disk that holds it
// is shared with a clone or an image and never changes.
type page struct {
	owner  *Disk
	bad    [pageSize / grain / 64]uint64 // bit i: grain i cannot be read
	spoilt bool                          // bad has a bit set
	hashed bool
	hash   uint64
	data   [pageSize]byte
}

// content is what the device returns when it is read: the newest version.
type content struct {
	owner  *Disk
	sector int
	thick  bool  // zeroes take space as well
	used   int64 // bytes of pages that exist
	pages  []*page
	memory *Memory // for pages
}

// own returns page i to write to.
func (c *content) own(i int64) *page {
	p := c.pages[i]
	switch {
	case p == nil:
		p = c.newPage(&page{})
		c.used += pageSize
	case p.owner != c.owner:
		p = c.newPage(p)
	}
	p.owner = c.owner
	c.pages[i] = p
	p.hashed = false
	return p
}

// newPage returns a copy of a page.
func (c *content) newPage(from *page) *page {
	var p *page
	if n := len(c.memory.pages); n > 0 {
		p, c.memory.pages = c.memory.pages[n-1], c.memory.pages[:n-1]
	} else {
		p = new(page)
	}
	*p = *from
	return p
}

// retire gives back the memory of the pages that are nobody else's.
func (c *content) retire() {
	for _, p := range c.pages {
		if p != nil && p.owner == c.owner {
			c.memory.pages = append(c.memory.pages, p)
		}
	}
	c.pages = c.pages[:0]
}

// Memory is what disks have no use for any more. Disks that are not used at the
// same time may share it.
type Memory struct {
	pages []*page
	logs  []undoLog
}

func (m *Memory) takeLog() (l undoLog) {
	if n := len(m.logs); n > 0 {
		l, m.logs = m.logs[n-1], m.logs[:n-1]
		l.keep(nil)
	}
	return l
}

// place returns where data of one sector are to be put, with what is there; nil
// where nothing was ever written and zeroes change nothing.
func (c *content) place(at int64, data []byte) []byte {
	i, from := at>>pageShift, int(at&(pageSize-1))
	if c.pages[i] == nil && !c.thick && bytes.Equal(data, zeroPage[:len(data)]) {
		return nil
	}
	return c.own(i).data[from : from+len(data)]
}

// overwrite puts data to their place.
func (c *content) overwrite(at int64, place, data []byte) {
	copy(place, data)
	if p := c.pages[at>>pageShift]; p.spoilt {
		p.mend(int(at&(pageSize-1)), len(data), c.sector)
	}
}

// restore puts an older version back.
func (c *content) restore(at int64, old []byte) {
	copy(c.own(at >> pageShift).data[at&(pageSize-1):], old)
}

// load fills into with the content from at on.
func (c *content) load(at int64, into []byte) {
	for len(into) > 0 {
		from := int(at & (pageSize - 1))
		n := min(len(into), pageSize-from)
		if p := c.pages[at>>pageShift]; p == nil {
			clear(into[:n])
		} else {
			copy(into[:n], p.data[from:])
		}
		at += int64(n)
		into = into[n:]
	}
}

// missing returns the bytes of pages that a write would have to make.
func (c *content) missing(at, length int64) (n int64) {
	for i := at >> pageShift; i<<pageShift < at+length; i++ {
		if c.pages[i] == nil {
			n += pageSize
		}
	}
	return n
}

// unreadable reports whether a grain of the range is bad.
func (c *content) unreadable(at, length int64) bool {
	for i := at >> pageShift; i<<pageShift < at+length; i++ {
		p := c.pages[i]
		if p == nil || !p.spoilt {
			continue
		}
		from, to := max(at, i<<pageShift), min(at+length, (i+1)<<pageShift)
		for ; from < to; from += grain {
			if g := (from & (pageSize - 1)) / grain; p.bad[g/64]&(1<<(g%64)) != 0 {
				return true
			}
		}
	}
	return false
}

// spoil makes the grains of a range, which lies in one page, unreadable.
func (c *content) spoil(at, length int64) {
	p := c.own(at >> pageShift)
	p.spoilt = true
	for from := at & (pageSize - 1); length > 0; from, length = from+grain, length-grain {
		p.bad[from/grain/64] |= 1 << (from / grain % 64)
	}
}

// mend makes the sector readable that holds what was just written. What was not
// overwritten of it is anything, for blocks may be smaller here than a sector:
// where they are not, nothing is left of it.
func (p *page) mend(from, length, sector int) {
	first := from &^ (sector - 1)
	for at := first; at < first+sector; at += grain {
		word, bit := &p.bad[at/grain/64], uint64(1)<<(at/grain%64)
		if *word&bit != 0 && (at < from || at >= from+length) {
			for i := range grain {
				p.data[at+i] ^= 0xff
			}
		}
		*word &^= bit
	}
	p.spoilt = p.bad != [len(p.bad)]uint64{}
}

// share gives up the ownership of every page, so that all of them can be in
// several disks and images.
func (c *content) share() []*page {
	for _, p := range c.pages {
		if p != nil {
			p.owner = nil
		}
	}
	return append([]*page(nil), c.pages...)
}
