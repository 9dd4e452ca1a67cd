//go:build mutant_resize_once

package coordinator

// resizeOnce makes a takeover that does not grow its volume: the simulation must notice.
const resizeOnce = true
