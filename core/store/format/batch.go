package format

import (
	"hash/crc32"

	"github.com/lagan-storage/lagan/core/block"
)

const (
	batchMagic = 0x4a47414c // "LAGJ"
	// batchHead is {magic u32, version u16, pages u16, crc u32, prev u32, pool 16, address u64,
	// generation u64, batch u64, durable u64, length u32, records u32, recordBytes u32, reserved}.
	batchHead = 96
	// HeaderPagesMax is how many pages a batch header may take: the second takes
	// what many or long records spill.
	HeaderPagesMax = 2
	// BatchRecordsMax bounds the records of one batch by the room in its header.
	BatchRecordsMax = (HeaderPagesMax*PageSize - batchHead) / recordHead
)

// Header opens a batch of the journal. It is a page of its own, never sharing a
// sector with a batch that is durable already.
type Header struct {
	Pages      int
	Prev       uint32 // crc of the header before it
	CRC        uint32 // its own, filled by Seal and DecodeHeader
	Generation uint64 // the open that wrote it
	Batch      uint64 // sequence number, never reset
	Durable    uint64 // a batch known to be durable when this was written
	Length     uint32 // bytes in the ring, header and padding included
	Records    int
	Bytes      int // of the records
}

// RecordsRoom returns how many bytes of records a header of that many pages has.
func RecordsRoom(pages int) int { return pages*PageSize - batchHead }

// RecordSpace returns where the records of a header are encoded.
func RecordSpace(header []byte) []byte { return header[batchHead:] }

// Seal completes a header whose records are encoded already. header has
// h.Pages pages; address is its place on the disk.
func (h *Header) Seal(header []byte, pool block.ID, address int64) {
	clear(header[:batchHead])
	clear(header[batchHead+h.Bytes : h.Pages*PageSize])
	le.PutUint32(header[0:], batchMagic)
	le.PutUint16(header[4:], Version)
	le.PutUint16(header[6:], uint16(h.Pages))
	le.PutUint32(header[12:], h.Prev)
	copy(header[16:32], pool[:])
	le.PutUint64(header[32:], uint64(address))
	le.PutUint64(header[40:], h.Generation)
	le.PutUint64(header[48:], h.Batch)
	le.PutUint64(header[56:], h.Durable)
	le.PutUint32(header[64:], h.Length)
	le.PutUint32(header[68:], uint32(h.Records))
	le.PutUint32(header[72:], uint32(h.Bytes))
	le.PutUint32(header[8:], 0)
	h.CRC = crc32.Update(0, castagnoli, header[:h.Pages*PageSize])
	le.PutUint32(header[8:], h.CRC)
}

// HeaderPages returns how many pages the header that starts in page claims, or
// 0 if none starts there.
func HeaderPages(page []byte) int {
	if len(page) < PageSize || le.Uint32(page) != batchMagic {
		return 0
	}
	n := int(le.Uint16(page[6:]))
	if n < 1 || n > HeaderPagesMax {
		return 0
	}
	return n
}

// DecodeHeader checks and reads the header at address.
func DecodeHeader(header []byte, pool block.ID, address int64) (Header, error) {
	var h Header
	h.Pages = HeaderPages(header)
	switch {
	case h.Pages == 0:
		return h, ErrMagic
	case len(header) < h.Pages*PageSize:
		return h, ErrContent
	}
	h.CRC = le.Uint32(header[8:])
	switch {
	case crcWithout(header[:h.Pages*PageSize], 8) != h.CRC:
		return h, ErrChecksum
	case le.Uint16(header[4:]) > Version:
		return h, ErrVersion
	case int64(le.Uint64(header[32:])) != address || block.ID(header[16:32]) != pool:
		return h, ErrPlace
	}
	h.Prev, h.Generation = le.Uint32(header[12:]), le.Uint64(header[40:])
	h.Batch, h.Durable = le.Uint64(header[48:]), le.Uint64(header[56:])
	h.Length, h.Records, h.Bytes = le.Uint32(header[64:]), int(le.Uint32(header[68:])), int(le.Uint32(header[72:]))
	if h.Records > BatchRecordsMax || h.Bytes > RecordsRoom(h.Pages) || h.Length%PageSize != 0 ||
		int(h.Length) < h.Pages*PageSize || h.Durable >= h.Batch {
		return h, ErrContent
	}
	return h, nil
}
