package sim

import "math/bits"

// digest is the running hash of a run: of every event, effect and payload, in
// order. It need not be strong, only to notice any difference.
type digest uint64

func (d *digest) add(v uint64) {
	hi, lo := bits.Mul64(uint64(*d)^v^0x9e3779b97f4a7c15, 0xa0761d6478bd642f)
	*d = digest(bits.RotateLeft64(uint64(*d), 23) ^ hi ^ lo)
}

func (d *digest) text(s string) {
	d.add(uint64(len(s)))
	for len(s) >= 8 {
		d.add(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
		s = s[8:]
	}
	for i := range len(s) {
		d.add(uint64(s[i]))
	}
}
