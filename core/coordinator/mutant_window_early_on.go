//go:build mutant_window_early

package coordinator

// windowEarly makes the window drop what is acknowledged, durable or not: the simulation must notice.
const windowEarly = true
