//go:build mutants

package replica

func unfenced(m map[int]int) {
	go unfenced(m) // want "go statement in core"
	for range m {  // want "range over a map"
	}
}
