package datadir

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// scrubsFile has how far the scrubs of disks are, and when the last ones were. It
// is worth no more than the time that a scrub takes: one that cannot be read is
// begun anew.
const scrubsFile = "scrub.json"

// Scrubs implements host.ScrubNotes in a data directory.
type Scrubs struct{ name string }

// Scrubs returns the notes of the directory.
func (d *Dir) Scrubs() *Scrubs { return &Scrubs{filepath.Join(d.path, scrubsFile)} }

// Load implements host.ScrubNotes.
func (s *Scrubs) Load() map[block.DiskID]volume.ScrubRecord {
	records := map[block.DiskID]volume.ScrubRecord{}
	data, err := os.ReadFile(s.name)
	if err == nil {
		err = json.Unmarshal(data, &records)
	}
	if err != nil || records == nil {
		return map[block.DiskID]volume.ScrubRecord{}
	}
	return records
}

// Save implements host.ScrubNotes.
func (s *Scrubs) Save(records map[block.DiskID]volume.ScrubRecord) error {
	data, err := json.Marshal(records)
	if err != nil {
		return fmt.Errorf("encode how far scrubs are: %w", err)
	}
	return replace(s.name, data)
}
