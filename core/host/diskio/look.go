package diskio

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Look is a disk that is only read, while no daemon has it.
type Look struct {
	Size int64
	file *os.File
}

// OpenLook opens a disk to look at it. One that a daemon has open is refused: what
// is read while it changes makes no sense.
func OpenLook(path string) (*Look, error) {
	file, err := os.Open(path) //nolint:gosec // the disk that a person names
	if err != nil {
		return nil, fmt.Errorf("open disk: %w", err)
	}
	l := &Look{file: file}
	if err := l.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("disk %s: %w", path, err), file.Close())
	}
	return l, nil
}

func (l *Look) prepare() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() && info.Mode().Type()&^fs.ModeDevice != 0 || info.Mode()&fs.ModeCharDevice != 0 {
		return errNoDisk
	}
	if err := unix.Flock(int(l.file.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return errInUse
	}
	l.Size, err = l.file.Seek(0, 2)
	return err
}

var errInUse = errors.New("a daemon has it open: stop that first, with  lagan down")

var errNoDisk = errors.New("it is neither a file nor a block device: name the one that the node was given with --disk")

// ReadAt implements io.ReaderAt.
func (l *Look) ReadAt(b []byte, at int64) (int, error) { return l.file.ReadAt(b, at) }

// Close gives the disk back.
func (l *Look) Close() error { return l.file.Close() }

// edgeBytes is how much of a disk's beginning and end must be zero for it to count
// as blank: all labels of file systems and partition tables begin there.
const edgeBytes = 1 << 20

// magic is how something that carries data begins.
type magic struct {
	at   int64
	text string
	name string
}

// magics returns what is known by its name, the more telling before the others.
func magics() []magic {
	return []magic{
		{0, "LGSB", "a store of Lagan"},
		{0x438, "\x53\xef", "an ext2, ext3 or ext4 file system"},
		{0, "XFSB", "an xfs file system"},
		{0x10040, "_BHRfS_M", "a btrfs file system"},
		{0, "LUKS\xba\xbe", "an encrypted LUKS volume"},
		{512, "LABELONE", "a physical volume of LVM"},
		{4096, "\xfc\x4e\x2b\xa9", "a member of a RAID array"},
		{4086, "SWAPSPACE2", "swap space"},
		{512, "EFI PART", "a GPT partition table"},
		{510, "\x55\xaa", "a partition table or a boot sector"},
	}
}

// Content says what a disk carries that nobody may write over unasked: "" if its
// beginning and its end are zero.
func (l *Look) Content() (string, error) {
	head, tail := make([]byte, min(edgeBytes, l.Size)), make([]byte, min(edgeBytes, l.Size))
	if _, err := l.ReadAt(head, 0); err != nil && l.Size > 0 {
		return "", err
	}
	if _, err := l.ReadAt(tail, l.Size-int64(len(tail))); err != nil && l.Size > 0 {
		return "", err
	}
	for _, m := range magics() {
		if end := m.at + int64(len(m.text)); end <= int64(len(head)) && string(head[m.at:end]) == m.text {
			return m.name, nil
		}
	}
	zero := make([]byte, len(head))
	switch {
	case !bytes.Equal(head, zero):
		return "data at its beginning", nil
	case !bytes.Equal(tail, zero):
		return "data at its end", nil
	}
	return "", nil
}

// Wipe makes the beginning and the end of a disk blank, durably.
func (d *File) Wipe() error {
	n := min(edgeBytes, d.Size)
	zero, err := unix.Mmap(-1, 0, edgeBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // O_DIRECT wants pages
	if err != nil {
		return fmt.Errorf("wipe disk %s: %w", d.Path, err)
	}
	_, first := d.file.WriteAt(zero[:n/4096*4096], 0)
	_, last := d.file.WriteAt(zero[:n/4096*4096], (d.Size-n)/4096*4096)
	if err := errors.Join(first, last, d.file.Sync(), unix.Munmap(zero)); err != nil {
		return fmt.Errorf("wipe disk %s: %w", d.Path, err)
	}
	return nil
}
