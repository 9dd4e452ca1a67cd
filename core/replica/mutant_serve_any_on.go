//go:build mutant_serve_any

package replica

// serveAny makes a replica that hands out what it has, complete and new enough or not: the simulation must notice.
const serveAny = true
