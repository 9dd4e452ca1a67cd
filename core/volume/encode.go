package volume

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
)

// Record is what is kept under a key of its own.
type Record interface {
	Config | Spec | Attachment | Snapshots | Placement | Node | NodeSpec | Disk | Removed | Rebalance
	format() int
}

func (r Config) format() int     { return r.Format }
func (r Spec) format() int       { return r.Format }
func (r Attachment) format() int { return r.Format }
func (r Snapshots) format() int  { return r.Format }
func (r Placement) format() int  { return r.Format }
func (r Node) format() int       { return r.Format }
func (r NodeSpec) format() int   { return r.Format }
func (r Disk) format() int       { return r.Format }
func (r Removed) format() int    { return r.Format }
func (r Rebalance) format() int  { return r.Format }

// Encode writes a record as JSON: equal records give equal bytes.
func Encode[R Record](r R) []byte {
	data, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("volume: record cannot be encoded: %v", err)) // no field can fail
	}
	return data
}

// Parse reads what Encode wrote, and refuses a newer format by its number.
func Parse[R Record](data []byte) (R, error) {
	var r, none R
	bad := json.Unmarshal(data, &r)
	if bad == nil && r.format() <= Format {
		return r, nil
	}
	var version struct { // by itself: what is newer may have fields that we cannot read
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return none, fmt.Errorf("record: %w", err)
	}
	if version.Format > Format {
		return none, fmt.Errorf("record of format %d, this version reads up to %d: upgrade this node: %w", version.Format, Format, ErrNewerFormat)
	}
	return none, fmt.Errorf("record of format %d: %w", version.Format, bad)
}

// ParseVolumeID reads a volume's identity as it is printed.
func ParseVolumeID(text string) (id block.VolumeID, ok bool) {
	return id, id.UnmarshalText([]byte(text)) == nil
}

// Clone returns a deep copy of s.
func (s *Spec) Clone() Spec {
	d := *s
	d.Nodes, d.Zones, d.Labels = slices.Clone(s.Nodes), slices.Clone(s.Zones), maps.Clone(s.Labels)
	return d
}

// Equal reports whether both say the same.
func (s *Spec) Equal(o *Spec) bool {
	return s.Format == o.Format && s.Volume == o.Volume && s.Name == o.Name && s.Size == o.Size && s.Replicas == o.Replicas && s.MinWritable == o.MinWritable &&
		s.Filesystem == o.Filesystem && s.MountOptions == o.MountOptions && s.Preempt == o.Preempt &&
		s.Formatted == o.Formatted && s.Created == o.Created &&
		s.Parent == o.Parent && s.Schedule == o.Schedule && s.Scheduled == o.Scheduled &&
		slices.Equal(s.Nodes, o.Nodes) && slices.Equal(s.Zones, o.Zones) && maps.Equal(s.Labels, o.Labels)
}
