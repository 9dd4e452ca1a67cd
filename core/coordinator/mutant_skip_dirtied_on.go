//go:build mutant_skip_dirtied

package coordinator

// skipDirtied makes a resync that ends without the pass for what was written during the ones before: the simulation must notice.
const skipDirtied = true
