package block

import "hash/crc32"

// Checksum is the crc32c of one block. It is computed once, by the coordinator
// that accepts a write, and travels with the block to every disk and back.
type Checksum uint32

// Checksums holds the checksums of up to a chunk of blocks, in block order.
type Checksums [PerChunk]Checksum

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ChecksumOf returns the checksum of data.
func ChecksumOf(data []byte) Checksum { return Checksum(crc32.Checksum(data, castagnoli)) }

// ChecksumsOf returns the checksum of each block of data, which holds whole
// blocks of blockSize bytes and at most a chunk of them.
func ChecksumsOf(data []byte, blockSize int) (sums Checksums) {
	for i := 0; i*blockSize < len(data); i++ {
		sums[i] = ChecksumOf(data[i*blockSize : (i+1)*blockSize])
	}
	return sums
}
