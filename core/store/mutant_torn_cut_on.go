//go:build mutant_torn_cut

package store

// tornCut makes a store that lets what was appended behind a snapshot into the layer that it closes: the simulation must notice.
const tornCut = true
