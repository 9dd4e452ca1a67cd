//go:build mutant_skip_layer

package coordinator

// skipLayer makes a resync that leaves out the oldest layer: the simulation must notice.
const skipLayer = true
