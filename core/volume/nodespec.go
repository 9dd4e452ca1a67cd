package volume

import "github.com/lagan-storage/lagan/core/block"

// NodeSpec is what people asked of a node. The node's own record is what it says
// of itself; this one only commands write.
type NodeSpec struct {
	Format int          `json:"format"`
	Node   block.NodeID `json:"node"`
	// Cordoned keeps new copies away from the node, until it is taken back.
	Cordoned bool `json:"cordoned,omitempty"`
}

// NodeChange is what is to be asked of a node from now on. What is nil stays.
type NodeChange struct {
	Cordoned *bool
}

// With returns what is asked of a node after a change.
func (s NodeSpec) With(c *NodeChange) NodeSpec {
	if c.Cordoned != nil {
		s.Cordoned = *c.Cordoned
	}
	return s
}

// Avoid says why no new copy is to be placed on the node, or nothing.
func (s *NodeSpec) Avoid() string {
	if s.Cordoned {
		return "it is cordoned"
	}
	return ""
}
