package format

import "github.com/lagan-storage/lagan/core/block"

// volumeSize is the place of a Volume in a table page.
const volumeSize = 184

// Meta is what a replica remembers besides its records; see store.Meta.
type Meta struct {
	Promised    block.Epoch
	Session     block.Session
	KnownEpoch  block.Epoch
	MemberEpoch block.Epoch
	Complete    bool
	Resync      uint64
	SyncTarget  block.Position
	Overcome    uint32
}

const metaSize = 64

func (m *Meta) encode(b []byte) {
	le.PutUint64(b, uint64(m.Promised))
	le.PutUint64(b[8:], uint64(m.Session))
	le.PutUint64(b[16:], uint64(m.KnownEpoch))
	le.PutUint64(b[24:], uint64(m.MemberEpoch))
	le.PutUint64(b[32:], m.Resync)
	le.PutUint64(b[40:], uint64(m.SyncTarget.Era))
	le.PutUint64(b[48:], uint64(m.SyncTarget.Seq))
	clear(b[56:metaSize])
	if m.Complete {
		b[56] = 1
	}
	le.PutUint32(b[60:], m.Overcome)
}

func (m *Meta) decode(b []byte) {
	*m = Meta{
		Promised: block.Epoch(le.Uint64(b)), Session: block.Session(le.Uint64(b[8:])),
		KnownEpoch: block.Epoch(le.Uint64(b[16:])), MemberEpoch: block.Epoch(le.Uint64(b[24:])),
		Resync:     le.Uint64(b[32:]),
		SyncTarget: block.Position{Era: block.Epoch(le.Uint64(b[40:])), Seq: block.Seq(le.Uint64(b[48:]))},
		Complete:   b[56] == 1,
		Overcome:   le.Uint32(b[60:]),
	}
}

// Volume is one entry of the volume table: a replica.
type Volume struct {
	Handle  uint32
	Damaged bool
	Replica block.ReplicaID
	Volume  block.VolumeID
	Blocks  uint64
	Meta    Meta
	Last    block.Position // of the last record before the cut
	Base    block.Position // of the last record before the first parked one
	Stable  block.Seq
	Head    uint32 // the number of its head layer
	Parked  Child  // first page of its parked records
	// Controls is how many records outside the stream there were before the cut.
	Controls uint16
}

func (v *Volume) encode(b []byte) {
	clear(b[:volumeSize])
	le.PutUint32(b, v.Handle)
	if v.Damaged {
		b[4] = 1
	}
	le.PutUint16(b[6:], v.Controls)
	copy(b[8:24], v.Replica[:])
	copy(b[24:40], v.Volume[:])
	le.PutUint64(b[40:], v.Blocks)
	v.Meta.encode(b[48:])
	le.PutUint64(b[112:], uint64(v.Last.Era))
	le.PutUint64(b[120:], uint64(v.Last.Seq))
	le.PutUint64(b[128:], uint64(v.Stable))
	le.PutUint64(b[136:], uint64(v.Base.Era))
	le.PutUint64(b[144:], uint64(v.Base.Seq))
	v.Parked.encode(b[152:])
	le.PutUint32(b[176:], v.Head)
}

func (v *Volume) decode(b []byte) {
	v.Handle = le.Uint32(b)
	v.Damaged = b[4] == 1
	v.Controls = le.Uint16(b[6:])
	copy(v.Replica[:], b[8:24])
	copy(v.Volume[:], b[24:40])
	v.Blocks = le.Uint64(b[40:])
	v.Meta.decode(b[48:])
	v.Last = block.Position{Era: block.Epoch(le.Uint64(b[112:])), Seq: block.Seq(le.Uint64(b[120:]))}
	v.Stable = block.Seq(le.Uint64(b[128:]))
	v.Base = block.Position{Era: block.Epoch(le.Uint64(b[136:])), Seq: block.Seq(le.Uint64(b[144:]))}
	v.Parked.decode(b[152:])
	v.Head = le.Uint32(b[176:])
}

// EncodeTable writes at most TableVolumes entries into the body of a table page.
func EncodeTable(page []byte, volumes []Volume) {
	clear(page[pageHead:PageSize])
	for i := range volumes {
		volumes[i].encode(page[pageHead+i*volumeSize:])
	}
}

// DecodeTable appends the count entries of a table page to list.
func DecodeTable(body []byte, count int, list []Volume) ([]Volume, error) {
	if count > TableVolumes {
		return list, ErrContent
	}
	for i := range count {
		var v Volume
		v.decode(body[i*volumeSize:])
		if v.Handle == 0 || v.Head == 0 {
			return list, ErrContent
		}
		list = append(list, v)
	}
	return list, nil
}

// HeightMax bounds the interior levels of any tree: 168^6 leaves are more than
// any disk has blocks.
const HeightMax = 6

// Height returns the interior levels of a tree over that many leaves, at least 1.
func Height(leaves uint64) uint8 {
	h, reach := uint8(1), uint64(Fanout)
	for reach < leaves && h < HeightMax {
		h, reach = h+1, reach*Fanout
	}
	return h
}

// Root is the root page: what is neither of a volume, of a layer nor in the superblock.
type Root struct {
	NextHandle uint32
	NextLayer  uint32
	Volumes    Table
	Layers     Table
}

// Table is a tree of pages of entries.
type Table struct {
	Height uint8 // interior levels under Root
	Pages  uint32
	Root   Child
}

func (t *Table) encode(b []byte) {
	b[0] = t.Height
	le.PutUint32(b[4:], t.Pages)
	t.Root.encode(b[8:])
}

func (t *Table) decode(b []byte) (sound bool) {
	t.Height, t.Pages = b[0], le.Uint32(b[4:])
	t.Root.decode(b[8:])
	return t.Height > 0 && t.Height <= HeightMax
}

// EncodeRoot writes r into the body of a root page.
func EncodeRoot(page []byte, r *Root) {
	clear(page[pageHead:PageSize])
	b := page[pageHead:]
	le.PutUint32(b, r.NextHandle)
	le.PutUint32(b[4:], r.NextLayer)
	r.Volumes.encode(b[8:])
	r.Layers.encode(b[40:])
}

// DecodeRoot reads the body of a root page.
func DecodeRoot(body []byte) (r Root, err error) {
	r.NextHandle, r.NextLayer = le.Uint32(body), le.Uint32(body[4:])
	if !r.Volumes.decode(body[8:]) || !r.Layers.decode(body[40:]) {
		return Root{}, ErrContent
	}
	return r, nil
}
