//go:build !mutant_skip_layer

package coordinator

// skipLayer is off: the mutant is not built in.
const skipLayer = false
