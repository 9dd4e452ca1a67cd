//go:build !mutant_resize_once

package coordinator

// resizeOnce is off: the mutant is not built in.
const resizeOnce = false
