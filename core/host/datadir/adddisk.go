package datadir

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/volume"
)

// AddDisk formats a disk for a node that runs and has every later start open it.
// What carries data is refused, unless it is to be wiped. After an error, or a
// crash before the end, the node does not have the disk.
//
//	blank? ──▶ opened, and so locked ──▶ entered ──▶ formatted ──▶ noted as added
func (d *Dir) AddDisk(n volume.NewDisk, formatDisk func(*diskio.File) error) (*diskio.File, error) {
	path, err := filepath.Abs(n.Path)
	if err != nil {
		return nil, refusedDisk(n.Path, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.known(path); known != nil && !known.Removed {
		return nil, refusedDisk(path, errors.New("it is a disk of this node already"))
	}
	_, missing := os.Stat(path)
	if missing != nil && n.Size <= 0 {
		return nil, refusedDisk(path, errors.New("it does not exist: to make a file there, say how large it is to be with --size"))
	}
	content, err := contentOf(Disk{Path: path, Size: n.Size})
	switch {
	case err != nil:
		return nil, refusedDisk(path, err)
	case content != "" && !n.Wipe:
		return nil, notBlank(path, content)
	}
	file, err := diskio.Open(path, n.Size)
	if err != nil {
		return nil, refusedDisk(path, err)
	}
	if err := d.settleDisk(file, content != "", formatDisk); err != nil {
		if missing != nil {
			err = errors.Join(err, os.Remove(path))
		}
		return nil, errors.Join(refusedDisk(path, err), file.Close())
	}
	return file, nil
}

// settleDisk makes an opened disk one of the node's.
func (d *Dir) settleDisk(file *diskio.File, wipe bool, formatDisk func(*diskio.File) error) error {
	if wipe {
		if err := file.Wipe(); err != nil {
			return err
		}
	}
	before := slices.Clone(d.record.Disks)
	d.record.Disks = slices.DeleteFunc(d.record.Disks, func(r diskRecord) bool { return r.Path == file.Path })
	err := d.enter(diskRecord{Path: file.Path})
	if err == nil {
		file.ID = d.known(file.Path).ID
		err = formatDisk(file)
	}
	if err == nil {
		known := d.known(file.Path)
		known.Formatted, known.Added = true, true
		err = d.save()
	}
	if err != nil {
		d.record.Disks = before
		return errors.Join(err, d.save())
	}
	return nil
}

// ForgetDisk has no later start open a disk, even if that is given it. One that
// is not known is forgotten already.
func (d *Dir) ForgetDisk(id block.DiskID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.record.Disks {
		if r := &d.record.Disks[i]; r.ID == id && !r.Removed {
			r.Removed, r.Added = true, false
			return d.save()
		}
	}
	return nil
}

func refusedDisk(path string, why error) error {
	var told *volume.Error
	if errors.As(why, &told) {
		return why
	}
	return &volume.Error{
		Kind:   volume.ErrDiskRefused,
		What:   fmt.Sprintf("%s cannot be a disk of this node", cmp.Or(path, "nothing")),
		Causes: []string{why.Error()},
		Fix:    "give a block device that nothing uses, or a file:  lagan disk add PATH --size 100GiB",
	}
}

func notBlank(path, content string) error {
	return &volume.Error{
		Kind:   volume.ErrDiskNotBlank,
		What:   fmt.Sprintf("%s cannot be a disk of this node: it is not blank", path),
		Causes: []string{"it carries " + content},
		Fix:    fmt.Sprintf("give another one, or, if nobody needs what is on it:  lagan disk add %s --wipe", path),
	}
}
