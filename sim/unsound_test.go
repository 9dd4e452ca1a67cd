package sim

import (
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/volume"
)

// ruin makes a disk one that no store opens, and restarts its node's process.
func (c *cluster) ruin(node int) *cluster {
	b := c.w.bodies[node]
	for i := range int64(format.SuperblockCopies) {
		b.drives[0].harm(i*format.SuperblockStride, 8*60, false)
	}
	c.w.unsettle(b, 0)
	return c.kill(node).up(node)
}

func TestVolumeGoesOnWithoutTheCopyWhoseDiskIsRefused(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(0, time.Second).write(0, 16).flush()
	c.ruin(1).write(0, 4).becomes(1, volume.Out, 10*time.Second).write(16, 4).read(0, 32)
}

func TestVolumeIsTakenOverWithoutTheCopyWhoseDiskIsRefused(t *testing.T) {
	c := newCluster(t, 3, 1, 2).attach(1, time.Second).write(0, 16).flush()
	c.ruin(1).attach(0, 10*time.Second).read(0, 32).write(0, 16).read(0, 16)
}
