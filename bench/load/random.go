package load

// Random is splitmix64: what a run reads and writes comes from its seed.
type Random uint64

// Next returns the next number.
func (r *Random) Next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Below returns a number below limit, which must be above 0.
func (r *Random) Below(limit int64) int64 { return int64(r.Next() % uint64(limit)) }
