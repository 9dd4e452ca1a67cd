package disk

import (
	"encoding/binary"
	"slices"
)

// Image is the content of a disk at some moment. It never changes.
type Image struct{ pages []*page }

// Snapshot returns the durable content: what a power loss that loses
// everything un-synced would leave.
func (d *Disk) Snapshot() Image {
	c := d.Clone(d.seed)
	for i := len(c.unsynced.entries) - 1; i >= 0; i-- {
		c.unsynced.undo(&c.unsynced.entries[i], &c.content)
	}
	return Image{pages: c.share()}
}

// Restore puts back the content of an image of a disk of the same size, as if
// an old disk had been put in: durable, with nothing in flight.
func (d *Disk) Restore(i Image) {
	d.pages = slices.Clone(i.pages)
	d.used = 0
	for _, p := range d.pages {
		if p != nil {
			d.used += pageSize
		}
	}
	d.unsynced.keep(nil)
	d.flight, d.unused = d.flight[:0], d.unused[:0]
}

// Clone returns a second disk in exactly the same state, with what is in flight
// in flight, whose further draws come from seed. The two share content until
// one of them changes it. A clone with operations in flight is good for Kill
// and PowerLoss at once, while their pieces exist.
func (d *Disk) Clone(seed uint64) *Disk {
	c := *d
	c.seed = seed
	c.pages = d.share()
	c.owner = &c
	c.shadow = nil
	c.unsynced = d.unsynced.clone()
	c.flight, c.unused = slices.Clone(d.flight), slices.Clone(d.unused)
	c.incidents = slices.Clone(d.incidents)
	return &c
}

// Shadow is a Clone that costs little and lasts until d changes or casts the
// next one: its memory is used again then.
func (d *Disk) Shadow(seed uint64) *Disk {
	s := d.shadow
	if s == nil {
		s = &Disk{}
		d.shadow = s
	}
	s.retire()
	pages, log := s.pages, s.unsynced
	*s = *d
	s.seed, s.owner, s.shadow = seed, s, nil
	s.pages = append(pages, d.pages...)
	s.unsynced = undoLog{entries: append(log.entries[:0], d.unsynced.entries...), arena: append(log.arena[:0], d.unsynced.arena...)}
	s.flight, s.unused, s.incidents = slices.Clone(d.flight), slices.Clone(d.unused), slices.Clone(d.incidents)
	return s
}

// Retire gives the disk's memory back; the disk must not be used any more.
func (d *Disk) Retire() {
	if d.shadow != nil {
		d.shadow.retire()
		d.memory.logs = append(d.memory.logs, d.shadow.unsynced)
	}
	d.retire()
	d.memory.logs = append(d.memory.logs, d.unsynced)
}

// Hash returns a number that depends on every byte of what would be read now,
// and on nothing else.
func (d *Disk) Hash() uint64 { return hashOf(d.pages, d) }

// Hash returns what Hash of a disk with this content would.
func (i Image) Hash() uint64 { return hashOf(i.pages, nil) }

func hashOf(pages []*page, owner *Disk) (sum uint64) {
	for i, p := range pages {
		if p == nil {
			continue
		}
		h, hashed := p.hash, p.hashed
		if !hashed {
			h = hashPage(&p.data)
		}
		if owner != nil && p.owner == owner { // a shared page may be read by others at the same time
			p.hash, p.hashed = h, true
		}
		if h != 0 { // zeroes that were written are as good as zeroes that were not
			sum += mix(h ^ mix(uint64(i)+1))
		}
	}
	return sum
}

// hashPage returns 0 for a page of zeroes.
func hashPage(data *[pageSize]byte) uint64 {
	if *data == zeroPage {
		return 0
	}
	var a, b uint64 = 1, 2
	for i := 0; i < pageSize; i += 16 {
		a = (a ^ binary.LittleEndian.Uint64(data[i:])) * 0x9e3779b97f4a7c15
		b = (b ^ binary.LittleEndian.Uint64(data[i+8:])) * 0xbf58476d1ce4e5b9
		a ^= a >> 29
		b ^= b >> 31
	}
	return mix(a) ^ mix(b+1) | 1
}

// Peek copies the content at offset without an operation: for those who look
// at a disk from the outside.
func (d *Disk) Peek(offset int64, into []byte) { d.load(offset, into) }
