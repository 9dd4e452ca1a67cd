//go:build mutant_remove_early

package coordinator

// removeEarly makes a copy be removed before those that stay hold everything: the simulation must notice.
const removeEarly = true
