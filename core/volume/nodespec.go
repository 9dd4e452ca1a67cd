package volume

import "github.com/lagan-storage/lagan/core/block"

// NodeSpec is what people asked of a node. The node's own record is what it says
// of itself; this one only commands write.
type NodeSpec struct {
	Format int          `json:"format"`
	Node   block.NodeID `json:"node"`
	// Cordoned keeps new copies away from the node, until it is taken back.
	Cordoned bool `json:"cordoned,omitempty"`
	// Drained is since when its copies are to be elsewhere, RFC 3339; "": they may
	// stay. No new ones come meanwhile.
	Drained string `json:"drained,omitempty"`
	// DrainedFrom is what its disks had promised to volumes then, bytes.
	DrainedFrom int64 `json:"drainedFrom,omitempty"`
	// Leaves says that it is to be removed from the cluster once it is drained.
	Leaves bool `json:"leaves,omitempty"`
	// Maintained is until when its copies are not made anew elsewhere though nothing
	// is heard from it, RFC 3339; "": it is as any other node.
	Maintained string `json:"maintained,omitempty"`
}

// NodeChange is what is to be asked of a node from now on. What is nil stays.
type NodeChange struct {
	Cordoned *bool
	Drained  *bool
	Leaves   *bool // if so, it is drained, too; if it is not drained any more, it does not leave
	// Maintained is until when it is in maintenance, RFC 3339; "": not any more.
	Maintained *string
}

// With returns what is asked of a node after a change at a time, RFC 3339, when its
// disks promise so many bytes.
func (s NodeSpec) With(c *NodeChange, now string, promised int64) NodeSpec {
	if c.Cordoned != nil {
		s.Cordoned = *c.Cordoned
	}
	if c.Leaves != nil {
		s.Leaves = *c.Leaves
	}
	if c.Maintained != nil {
		s.Maintained = *c.Maintained
	}
	switch {
	case c.Drained != nil && !*c.Drained:
		s.Drained, s.DrainedFrom, s.Leaves = "", 0, false
	case s.Drained == "" && (s.Leaves || c.Drained != nil):
		s.Drained, s.DrainedFrom = now, promised
	}
	return s
}

// Avoid says why no new copy is to be placed on the node, or nothing.
func (s *NodeSpec) Avoid() string {
	switch {
	case s.Leaves:
		return "it leaves the cluster"
	case s.Drained != "":
		return "it is being drained"
	case s.Cordoned:
		return "it is cordoned"
	case s.Maintained != "":
		return "it is in maintenance"
	}
	return ""
}
