//go:build mutant_push_over_live

package replica

// pushOverLive makes a target of a resync that takes every pushed block, also over what was written since: the simulation must notice.
const pushOverLive = true
