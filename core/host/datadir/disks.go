package datadir

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/diskio"
)

// blankBytes is how much of a disk must be zero for it to count as empty: all
// labels of file systems and partition tables lie within.
const blankBytes = 1 << 20

// Disk is a disk that the node was given at its start.
type Disk struct {
	Path string
	Size int64 // bytes of a file that does not exist yet; 0 for what exists
}

// OpenDisks opens the node's disks, and has those formatted that are new to it.
// A disk that cannot be used is among unusable and the others serve; err is a
// mistake in what was asked for.
func (d *Dir) OpenDisks(given []Disk, formatDisk func(*diskio.File) error) (opened []*diskio.File, unusable []host.UnusableDisk, err error) {
	defer func() {
		if err != nil {
			for _, file := range opened {
				err = errors.Join(err, file.Close())
			}
			opened = nil
		}
	}()
	for i := range given {
		if given[i].Path, err = filepath.Abs(given[i].Path); err != nil {
			return opened, nil, err
		}
		if slices.ContainsFunc(given[:i], func(o Disk) bool { return o.Path == given[i].Path }) {
			return opened, nil, fmt.Errorf("disk %s is given twice: give it once", given[i].Path)
		}
		file, problem, err := d.openDisk(given[i], formatDisk)
		switch {
		case err != nil:
			return opened, nil, err
		case problem != nil:
			unusable = append(unusable, *problem)
		default:
			opened = append(opened, file)
		}
	}
	for _, known := range d.record.Disks {
		if known.Formatted && !slices.ContainsFunc(given, func(o Disk) bool { return o.Path == known.Path }) {
			unusable = append(unusable, host.UnusableDisk{ID: known.ID, Path: known.Path, Reason: "the node was started without it: give it again with --disk"})
		}
	}
	return opened, unusable, nil
}

func (d *Dir) openDisk(disk Disk, formatDisk func(*diskio.File) error) (*diskio.File, *host.UnusableDisk, error) {
	known := d.known(disk.Path)
	if known == nil || !known.Formatted {
		return d.addDisk(disk, known, formatDisk)
	}
	unusable := func(reason string) *host.UnusableDisk {
		return &host.UnusableDisk{ID: known.ID, Path: disk.Path, Reason: reason}
	}
	file, err := diskio.Open(disk.Path, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, unusable("it is missing: mount or restore what it is on and start the node again"), nil
	case err != nil:
		return nil, unusable(err.Error()), nil
	}
	file.ID = known.ID
	return file, nil, nil
}

// addDisk formats a disk that is new, or whose formatting was interrupted.
func (d *Dir) addDisk(disk Disk, known *diskRecord, formatDisk func(*diskio.File) error) (*diskio.File, *host.UnusableDisk, error) {
	if known == nil {
		empty, err := isEmpty(disk)
		switch {
		case err != nil:
			return nil, nil, err
		case !empty:
			return nil, &host.UnusableDisk{
				Path:   disk.Path,
				Reason: "it carries data that this node did not write: give another path, or erase it with wipefs --all if nobody needs the data",
			}, nil
		}
		id := block.DiskID{}
		_, _ = rand.Read(id[:]) // never fails
		d.record.Disks = append(d.record.Disks, diskRecord{Path: disk.Path, ID: id})
		if err := d.save(); err != nil {
			return nil, nil, err
		}
	}
	file, err := diskio.Open(disk.Path, disk.Size)
	if err != nil {
		return nil, nil, err
	}
	known = d.known(disk.Path)
	file.ID = known.ID
	if err := formatDisk(file); err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	known.Formatted = true
	if err := d.save(); err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, nil, nil
}

func (d *Dir) known(path string) *diskRecord {
	i := slices.IndexFunc(d.record.Disks, func(r diskRecord) bool { return r.Path == path })
	if i < 0 {
		return nil
	}
	return &d.record.Disks[i]
}

// isEmpty reports whether a new disk may be formatted: it does not exist yet, or
// begins with zeroes only.
func isEmpty(disk Disk) (bool, error) {
	file, err := os.Open(disk.Path)
	if errors.Is(err, fs.ErrNotExist) {
		if disk.Size <= 0 {
			return false, fmt.Errorf("disk %s does not exist: say how large a file to make there, as in --disk %s:100GiB", disk.Path, disk.Path)
		}
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("disk: %w", err)
	}
	head, err := io.ReadAll(io.LimitReader(file, blankBytes))
	if err = errors.Join(err, file.Close()); err != nil {
		return false, fmt.Errorf("disk %s: %w", disk.Path, err)
	}
	return len(bytes.Trim(head, "\x00")) == 0, nil
}
