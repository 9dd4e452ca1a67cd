package format

// parkedPlace is {address u64, bad u16, reserved 6}: where a parked record's
// data is and which of its blocks were lost.
const parkedPlace = 16

// Parked is a record moved out of the journal because it was not stable when
// the journal's tail passed it.
type Parked struct {
	Record Record
	At     int64  // device address of its first data block; 0: it has none
	Bad    uint16 // blocks of Record.Holds whose data was lost
}

// Size returns how many bytes AppendParked needs for p.
func (p *Parked) Size() int { return parkedPlace + p.Record.Size() }

// ParkedChain is the head of a page of parked records: the page after it. Its
// records start at ParkedSpace.
const parkedChain = childSize

// ParkedRoom is how many bytes of records a parked page takes.
const ParkedRoom = PageBody - parkedChain

// EncodeParkedNext writes the reference to the page that follows.
func EncodeParkedNext(page []byte, next Child) { next.encode(page[pageHead:]) }

// ParkedSpace returns where the records of a parked page are encoded.
func ParkedSpace(page []byte) []byte { return page[pageHead+parkedChain : PageSize] }

// Encode writes p to b and returns its size.
func (p *Parked) Encode(b []byte) int {
	clear(b[:parkedPlace])
	le.PutUint64(b, uint64(p.At))
	le.PutUint16(b[8:], p.Bad)
	return parkedPlace + p.Record.Encode(b[parkedPlace:])
}

// DecodeParked reads the body of a parked page: it calls each for its count
// records and returns the page that follows.
func DecodeParked(body []byte, count int, each func(*Parked)) (next Child, err error) {
	next.decode(body)
	b := body[parkedChain:]
	for range count {
		var p Parked
		if len(b) < parkedPlace {
			return next, ErrContent
		}
		p.At, p.Bad = int64(le.Uint64(b)), le.Uint16(b[8:])
		n, err := p.Record.Decode(b[parkedPlace:])
		if err != nil {
			return next, err
		}
		each(&p)
		b = b[parkedPlace+n:]
	}
	return next, nil
}
