package filesystem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Content is what a device carries.
type Content struct {
	// Blank says that the first and the last MiB are zero: there is no file
	// system, and no partition table or other label that anybody looks for.
	Blank bool
	// Type is the file system, if it is a complete one of ours; "" otherwise.
	Type Type
}

func (c Content) String() string {
	switch {
	case c.Blank:
		return "blank"
	case c.Type != "":
		return string(c.Type)
	}
	return "unknown data"
}

// probeBytes is how much of each end is looked at. All labels that programs
// look for lie within: file systems at the start, RAID and GPT copies at both.
const probeBytes = 1 << 20

// Probe looks at the superblock and says what a device carries. It reads it
// itself: a program that knows a hundred formats may find a forgotten one.
func Probe(device string) (Content, error) {
	content, err := probe(device)
	if err != nil {
		return content, fmt.Errorf("probe %s: %w", device, err)
	}
	return content, nil
}

func probe(device string) (c Content, err error) {
	file, err := os.Open(device)
	if err != nil {
		return c, err
	}
	defer func() { _ = file.Close() }() // read only
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return c, err
	}
	length := min(size, probeBytes)
	first, last := make([]byte, length), make([]byte, length)
	if _, err := file.ReadAt(first, 0); err != nil && !errors.Is(err, io.EOF) {
		return c, err
	}
	if _, err := file.ReadAt(last, size-length); err != nil && !errors.Is(err, io.EOF) {
		return c, err
	}
	switch {
	case zero(first) && zero(last):
		c.Blank = true
	case isExt4(first):
		c.Type = Ext4
	case isXFS(first):
		c.Type = XFS
	}
	return c, nil
}

func zero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// isExt4 looks for the superblock at 1024. mkfs writes it last, so a file
// system with one is complete. One without extents is an ext2 or ext3.
func isExt4(b []byte) bool {
	const (
		at           = 1024
		magicAt      = at + 0x38
		magic        = 0xEF53
		incompatAt   = at + 0x60
		extents      = 0x40
		journalOnly  = 0x8 // an external journal, not a file system
		superblockTo = at + 1024
	)
	if len(b) < superblockTo || binary.LittleEndian.Uint16(b[magicAt:]) != magic {
		return false
	}
	incompat := binary.LittleEndian.Uint32(b[incompatAt:])
	return incompat&extents != 0 && incompat&journalOnly == 0
}

// isXFS looks for the superblock at 0, with the mark of a mkfs that did not get
// to its end cleared.
func isXFS(b []byte) bool {
	const (
		magic        = "XFSB"
		inProgressAt = 126
		superblockTo = 512
	)
	return len(b) >= superblockTo && string(b[:len(magic)]) == magic && b[inProgressAt] == 0
}
