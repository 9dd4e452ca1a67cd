// Package format is the store's on-disk format: it turns superblocks, journal
// batches, records and metadata pages into bytes and back. It holds no state
// and does no I/O; core/store is its only caller.
//
//	0         superblock, 4 copies of 4 KiB, 1 MiB apart
//	4 MiB     journal ring: batches of a 4 or 8 KiB header and their data blocks
//	…         slots: 64 KiB each (never below 4 KiB where blocks are small). A slot
//	          holds one chunk of data, or metadata pages of 4 KiB, or parked data
//
//	superblock ─┬─▶ root page ─┬─▶ volume table ─▶ parked pages ─▶ slots
//	            │              └─▶ layer table ─▶ interior ─▶ … ─▶ leaf (48 descriptors) ─▶ slots
//	            └─▶ bitmap: interior ─▶ … ─▶ bitmap page (one bit a slot)
//
// All numbers are little endian. Every structure carries a magic, a version, its
// own crc32c, the pool's identity and its own address, so that a lost, torn or
// misdirected write is told from a good one. A decoder never panics and never
// returns values that its encoder cannot have written from valid ones.
package format

import (
	"errors"
	"hash/crc32"
)

const (
	// PageSize is the size of superblocks, journal headers and metadata pages.
	PageSize = 4096
	// Version is the version of everything in this package.
	Version = 1
	// SuperblockCopies is how many copies of the superblock there are.
	SuperblockCopies = 4
	// SuperblockStride is the distance between copies of the superblock.
	SuperblockStride = 1 << 20
	// JournalOffset is where the journal ring starts.
	JournalOffset = SuperblockCopies * SuperblockStride
)

// What a decoder finds wrong.
var (
	ErrMagic    = errors.New("no such structure here")
	ErrVersion  = errors.New("written by a newer version")
	ErrChecksum = errors.New("checksum does not match")
	ErrPlace    = errors.New("belongs to another place or pool")
	ErrContent  = errors.New("content breaks the format's rules")
)

// noSum stands in a structure's checksum for the checksum itself. It is a table
// of its own because a local one would be allocated at every call.
var noSum [4]byte // constant table

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crcWithout returns the crc32c of b, taking the four bytes at hole as zero.
func crcWithout(b []byte, hole int) uint32 {
	c := crc32.Update(0, castagnoli, b[:hole])
	c = crc32.Update(c, castagnoli, noSum[:])
	return crc32.Update(c, castagnoli, b[hole+4:])
}
