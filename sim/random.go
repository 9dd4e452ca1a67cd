package sim

import (
	"math/bits"
	"time"
)

// stream is one labelled source of random choices. Streams of different labels
// do not know of each other: drawing more from one changes nothing in another.
type stream struct{ state uint64 }

// newStream returns the stream of a label (and an index: one per disk, client).
func newStream(seed uint64, label string, index int) stream {
	h := seed
	for _, c := range []byte(label) {
		h = scramble(h ^ uint64(c))
	}
	return stream{state: scramble(h ^ uint64(index)<<32)}
}

// scramble is a step of splitmix64.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (s *stream) next() uint64 {
	s.state += 0x9e3779b97f4a7c15
	x := s.state
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// nonzero draws an identity: any number but 0.
func (s *stream) nonzero() uint64 { return s.next() | 1 }

// below draws from 0 to n-1.
func (s *stream) below(n int) int {
	hi, _ := bits.Mul64(s.next(), uint64(n))
	return int(hi)
}

// oneIn reports true once in n draws.
func (s *stream) oneIn(n int) bool { return s.below(n) == 0 }

// chance reports true in ppm of a million draws.
func (s *stream) chance(ppm int) bool { return s.below(1_000_000) < ppm }

// between draws from lo to hi, both included.
func (s *stream) between(lo, hi int) int { return lo + s.below(hi-lo+1) }

// span draws a duration from lo to hi.
func (s *stream) span(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(s.below(int(hi-lo)+1))
}

// logSpan draws a duration from lo to hi, every octave as likely as the next.
func (s *stream) logSpan(lo, hi time.Duration) time.Duration {
	return time.Duration(s.logBetween(int(lo), int(hi)))
}

// logBetween draws from lo to hi, every octave as likely as the next.
func (s *stream) logBetween(lo, hi int) int {
	first, last := bits.Len64(uint64(lo)), bits.Len64(uint64(hi))
	n := s.between(first, last)
	if n == 0 {
		return 0
	}
	low := 1 << (n - 1)
	return min(max(low+s.below(low), lo), hi)
}

// shuffle puts list in random order.
func shuffle[T any](s *stream, list []T) {
	for i := len(list) - 1; i > 0; i-- {
		j := s.below(i + 1)
		list[i], list[j] = list[j], list[i]
	}
}
