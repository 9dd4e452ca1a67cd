package bench

import (
	"fmt"
	"text/tabwriter"

	"github.com/lagan-storage/lagan/bench/load"
)

// term is one part of a sum.
type term struct {
	µs   float64
	what string
}

// terms takes the time of a write on two copies apart. One copy alone shows
// what client, coordinator, journal and disk worker take; the parts measured in
// isolation split that, and what the second copy adds to it.
func (r *results) terms() (list []term, whole float64) {
	at := func(bench string, m load.Metric) float64 { return r.figures[bench][m] }
	whole, alone := at("write-4k-qd1/2-copies/plain", load.P50), at("write-4k-qd1/1-copy/plain", load.P50)
	coordinator, journal := at("parts/coordinator/write-2-copies", load.P50), at("parts/journal-4k/batch-1", load.P50)
	wire, codec := at("parts/transport-4k-qd1/plain", load.P50), at("parts/codec/encode-4k-write", load.P50)+at("parts/codec/decode-4k-write", load.P50)
	loopback := at("write-4k-qd1/loopback", load.P50)
	for _, known := range []float64{whole, alone, coordinator, journal, wire, loopback} {
		if known == 0 {
			return nil, 0
		}
	}
	list = []term{
		{journal, "journal: append in the store and its pwrite (in isolation)"},
		{coordinator, "coordinator: request, two sends, two acknowledgements (in isolation)"},
		{alone - journal - coordinator, "client hop, shards and disk worker: what one copy takes beyond the two above"},
		{loopback, "wire: a frame and its acknowledgement between bare sockets"},
		{codec, "codec: frame, checks of header and block"},
		{wire - loopback - codec, "transport: what it takes beyond the two above"},
	}
	rest := whole
	for _, t := range list {
		rest -= t.µs
	}
	return append(list, term{rest, "second copy on the same cores and disk, going home, wake-ups"}), whole
}

// printArithmetic says where the time of one write goes.
func (s *suite) printArithmetic() {
	list, whole := s.results.terms()
	if whole == 0 {
		return
	}
	s.printTerms("where one write goes (4k, qd1, 2 copies, plain, p50)", list, whole)
}

// printSum takes whole apart: what is known of it, and the rest.
func (s *suite) printSum(what string, whole float64, rest string, known ...term) {
	left := whole
	for _, t := range known {
		left -= t.µs
	}
	s.printTerms(what, append(known, term{left, rest}), whole)
}

func (s *suite) printTerms(what string, list []term, whole float64) {
	s.printf("\n%s\n", what)
	t := tabwriter.NewWriter(s.Report, 0, 0, 2, ' ', 0)
	for _, one := range list {
		_, _ = fmt.Fprintf(t, "%8.1f µs\t%s\n", one.µs, one.what)
	}
	_, _ = fmt.Fprintf(t, "%8.1f µs\t= measured\n", whole)
	_ = t.Flush() // whoever reads the report sees that it is cut
}
