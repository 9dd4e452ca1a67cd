package sim

import (
	"github.com/lagan-storage/lagan/core/step"
)

const million = 1_000_000

// clock is a host's monotonic clock: it starts somewhere at boot and runs at
// its own rate.
type clock struct {
	booted int64     // world time of the boot
	start  step.Time // what it showed then
	ppm    int64     // how much faster than the world it runs, per million
}

// at returns what the clock shows at world time now.
func (c *clock) at(now int64) step.Time {
	d := now - c.booted
	return c.start + step.Time(d+d/million*c.ppm+d%million*c.ppm/million)
}

// world returns the earliest world time at which the clock shows t or more.
func (c *clock) world(t step.Time) int64 {
	d := int64(t - c.start)
	rate := million + c.ppm
	return c.booted + d/rate*million + (d%rate*million+rate-1)/rate + 1
}
