package datadir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/diskio"
)

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
	d.mu.Lock()
	defer d.mu.Unlock()
	given = slices.Clone(given)
	for i := range given {
		if given[i].Path, err = filepath.Abs(given[i].Path); err != nil {
			return opened, nil, err
		}
		if slices.ContainsFunc(given[:i], func(o Disk) bool { return o.Path == given[i].Path }) {
			return opened, nil, fmt.Errorf("disk %s is given twice: give it once", given[i].Path)
		}
	}
	for _, known := range d.record.Disks {
		if known.Added && !slices.ContainsFunc(given, func(o Disk) bool { return o.Path == known.Path }) {
			given = append(given, Disk{Path: known.Path})
		}
	}
	for i := range given {
		if known := d.known(given[i].Path); known != nil && known.Removed {
			continue // lagan disk add brings it back
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
		if known.Formatted && !known.Removed && !slices.ContainsFunc(given, func(o Disk) bool { return o.Path == known.Path }) {
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
		switch content, err := contentOf(disk); {
		case err != nil:
			return nil, nil, err
		case content != "":
			return nil, &host.UnusableDisk{
				Path:   disk.Path,
				Reason: "it carries " + content + " that this node did not write: give another path, or have it erased with  lagan disk add --wipe  if nobody needs the data",
			}, nil
		}
		if err := d.enter(diskRecord{Path: disk.Path}); err != nil {
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

// enter notes a disk that is about to be formatted, under a new identity.
func (d *Dir) enter(r diskRecord) error {
	_, _ = rand.Read(r.ID[:]) // never fails
	d.record.Disks = append(d.record.Disks, r)
	return d.save()
}

// contentOf says what a new disk carries: nothing, if it does not exist yet.
func contentOf(disk Disk) (string, error) {
	look, err := diskio.OpenLook(disk.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && disk.Size <= 0:
		return "", fmt.Errorf("disk %s does not exist: say how large a file to make there, as in --disk %s:100GiB", disk.Path, disk.Path)
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	}
	content, err := look.Content()
	if err = errors.Join(err, look.Close()); err != nil {
		return "", fmt.Errorf("disk %s: %w", disk.Path, err)
	}
	return content, nil
}
