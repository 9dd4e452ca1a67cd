//go:build !mutant_serve_any

package replica

// serveAny is off: the mutant is not built in.
const serveAny = false
