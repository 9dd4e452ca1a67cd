package check

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store/format"
)

// Kind says what a finding is about. Its words are stable: programs read them.
type Kind string

// The kinds of findings.
const (
	SuperblockDamaged Kind = "superblock-damaged" // a copy is not what was written
	PageDamaged       Kind = "page-damaged"       // a page of metadata is not
	TableWrong        Kind = "table-wrong"        // pages are whole and contradict each other
	SlotLost          Kind = "slot-lost"          // it is taken, and nothing uses it
	SlotShared        Kind = "slot-shared"        // two things use it
	SlotUnmarked      Kind = "slot-unmarked"      // it is used, and counts as free
	LayerWrong        Kind = "layer-wrong"        // layers do not make trees of volumes
	ReplicaDamaged    Kind = "replica-damaged"    // an opening found that it has lost records
	JournalDamaged    Kind = "journal-damaged"    // what was durable in the journal is lost
	ChunkDamaged      Kind = "chunk-damaged"      // blocks are not what was written
	BlocksLost        Kind = "blocks-lost"        // blocks are known to have no good copy here
)

// Finding is something that is wrong with a disk.
type Finding struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
}

// Report is what a disk is and what is wrong with it.
type Report struct {
	Disk        block.DiskID `json:"disk"`
	Pool        string       `json:"pool"`
	Sequence    uint64       `json:"sequence"` // of the superblock
	OpenCount   uint64       `json:"open_count"`
	Clean       bool         `json:"clean"` // closed in order
	Capacity    int64        `json:"capacity"`
	BlockSize   uint32       `json:"block_size"`
	Slots       SlotCount    `json:"slots"`
	Pages       int          `json:"pages"` // of metadata
	Journal     JournalCount `json:"journal"`
	Volumes     []Volume     `json:"volumes"`
	Nobodys     []Layer      `json:"nobodys_layers"` // of deleted replicas; they go
	BlocksRead  uint64       `json:"blocks_read"`    // whose checksum was compared
	Notes       []string     `json:"notes"`          // what the next opening puts in order
	Findings    []Finding    `json:"findings"`
	FindingsCut int          `json:"findings_cut"` // how many there are beyond those
}

// SlotCount is how the slots of a disk are used.
type SlotCount struct {
	Bytes  int64 `json:"bytes"` // of one
	Total  int   `json:"total"`
	Chunks int   `json:"chunks"`
	Pages  int   `json:"pages"`
	Parked int   `json:"parked"`
	Free   int   `json:"free"`
}

// JournalCount is what the journal has.
type JournalCount struct {
	Bytes   int64  `json:"bytes"`   // that it has room for
	Used    int64  `json:"used"`    // from its tail to its end
	Tail    uint64 `json:"tail"`    // the number of its first batch
	Batches int    `json:"batches"` // that an opening would take
	Records int    `json:"records"`
	Durable uint64 `json:"durable"` // the newest batch that is said to be durable
	Torn    bool   `json:"torn"`    // a batch behind them was begun and is not whole
}

// Volume is one copy of a volume.
type Volume struct {
	Volume  block.VolumeID  `json:"volume"`
	Replica block.ReplicaID `json:"replica"`
	Handle  uint32          `json:"handle"`
	Size    int64           `json:"size"` // bytes of the volume
	Last    block.Position  `json:"last"` // of the root; the journal may go on
	Stable  block.Seq       `json:"stable"`
	Parked  int             `json:"parked"` // records that were moved out of the journal
	Layers  []Layer         `json:"layers"`
	Used    int64           `json:"used"` // bytes of slots, those of all its layers
}

// Layer is the head of a copy or a snapshot.
type Layer struct {
	Number uint32        `json:"number"`
	Parent uint32        `json:"parent,omitempty"`
	ID     block.LayerID `json:"id,omitempty"` // of a snapshot
	Head   bool          `json:"head"`
	Goes   bool          `json:"goes"` // it is deleted, and merged or freed
	Used   int64         `json:"used"` // bytes of slots
}

// findingsMax bounds the findings that are kept: a disk that is lost has as many
// as it has pages, and nobody reads them.
const findingsMax = 1000

func (r *Report) find(kind Kind, text string, values ...any) {
	if len(r.Findings) >= findingsMax {
		r.FindingsCut++
		return
	}
	r.Findings = append(r.Findings, Finding{Kind: kind, Text: fmt.Sprintf(text, values...)})
}

func (r *Report) note(text string, values ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(text, values...))
}

// Err returns the first finding of one of kinds as an error, of any kind without.
func (r *Report) Err(kinds ...Kind) error {
	for i := range r.Findings {
		if f := &r.Findings[i]; len(kinds) == 0 || slices.Contains(kinds, f.Kind) {
			return fmt.Errorf("%s: %s", f.Kind, f.Text)
		}
	}
	return nil
}

// Run checks all of a disk.
func Run(im *Image) *Report {
	s := &im.Super
	r := &Report{
		Disk: s.Disk, Pool: hex.EncodeToString(s.Pool[:]), Sequence: s.Sequence, OpenCount: s.Journal.OpenCount, Clean: s.Clean,
		Capacity: s.Capacity, BlockSize: s.BlockSize,
		Volumes: []Volume{}, Nobodys: []Layer{}, Notes: []string{}, Findings: []Finding{},
	}
	im.checkSuperblocks(r)
	j := im.Journal()
	j.report(im, r)
	var d *data
	t := im.walk(r, func(t *tables) {
		d = newData(im, t, j, r)
		t.chunk = d.checkChunk
	})
	if d != nil {
		d.settle()
		d.checkParked(t.parked)
		d.checkMaps()
		d.summarise()
	}
	t.summarise(r)
	return r
}

// Tables checks what the newest root says, and neither journal nor data.
func Tables(im *Image) *Report {
	r := &Report{}
	im.walk(r, nil)
	return r
}

// checkSuperblocks compares the copies. One that lags or is torn is what a loss
// of power leaves; on a disk that was closed in order it is damage.
func (im *Image) checkSuperblocks(r *Report) {
	for i := range im.Superblocks.Copies {
		err := im.Superblocks.Errs[i]
		if err == nil && im.Superblocks.Copies[i] == im.Super {
			continue
		}
		text := fmt.Sprintf("copy %d of the superblock is of sequence %d, the newest that two agree on of %d", i, im.Superblocks.Copies[i].Sequence, im.Super.Sequence)
		if err != nil {
			text = fmt.Sprintf("copy %d of the superblock: %v", i, err)
		}
		if im.Super.Clean {
			r.find(SuperblockDamaged, "%s: the next opening writes it anew", text)
		} else {
			r.note("%s", text)
		}
	}
	if !im.Super.Clean {
		r.note("the disk was not closed in order: the next opening recovers it")
	}
}

// pageIndex is what a page of a tree says of its place in it.
func pageIndex(height uint8, first uint64) uint64 { return uint64(height)<<56 | first }

// heightOfBitmap is how many levels the bitmap has.
func (im *Image) heightOfBitmap() uint8 {
	return format.Height(uint64((im.Slots + format.BitmapSlots - 1) / format.BitmapSlots))
}
