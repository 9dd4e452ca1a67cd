package disk

// Every decision is drawn from (seed, label, number): no draw depends on how
// many others were made, so that taking one fault away, or adding one, leaves
// the rest of a run as it was.

type label uint64

const (
	labelSector label = iota + 1
	labelEarly
	labelService
	labelWriteError
	labelPlace
	labelKill
	labelKillSync
	labelPowerLoss
	labelFault // + Kind
)

// draws is a short stream of random numbers (splitmix64).
type draws uint64

func drawsOf(seed uint64, l label, number uint64) draws {
	return draws(mix(seed^uint64(l)*0x9e3779b97f4a7c15) ^ mix(number))
}

func (d *draws) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	return mix(uint64(*d))
}

func (d *draws) below(n int64) int64 { return int64(d.next() % uint64(n)) }

func (d *draws) oneIn(n uint64) bool { return d.next()%n == 0 }

func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

type selectMode uint8

const (
	selectNone selectMode = iota
	selectAll
	selectSome
)

// selection is a subset of sectors, drawn but not stored.
type selection struct {
	mode   selectMode
	others bool // of selectSome: the sectors that were not drawn
	seed   uint64
}

func (s selection) has(sector uint32) bool {
	switch s.mode {
	case selectNone:
		return false
	case selectAll:
		return true
	case selectSome:
		return (mix(s.seed^mix(uint64(sector)+1))&1 == 0) != s.others
	}
	return false
}

// rest returns the sectors that are not in s.
func (s selection) rest() selection {
	switch s.mode {
	case selectNone:
		return selection{mode: selectAll}
	case selectAll:
		return selection{mode: selectNone}
	case selectSome:
		s.others = !s.others
	}
	return s
}

// drawEarly draws which sectors of a write are visible before it completes:
// mostly none.
func drawEarly(seed, number uint64) selection {
	switch d := drawsOf(seed, labelEarly, number); d.below(8) {
	case 0:
		return selection{mode: selectAll}
	case 1:
		return selection{mode: selectSome, seed: d.next()}
	default:
		return selection{}
	}
}

// drawPartial draws which sectors of a write that never completed arrived.
func drawPartial(seed uint64, l label, number uint64) selection {
	switch d := drawsOf(seed, l, number); d.below(3) {
	case 0:
		return selection{mode: selectNone}
	case 1:
		return selection{mode: selectAll}
	default:
		return selection{mode: selectSome, seed: d.next()}
	}
}
