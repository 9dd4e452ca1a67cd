// Package rest knows its neighbour and the wiring.
package rest

import (
	_ "github.com/docker/go-plugins-helpers/volume" // want "only plugin may import"
	_ "github.com/gin-gonic/gin"
	_ "go.uber.org/fx" // want "only cmd may import go.uber.org/fx"

	_ "example.com/badhouse/core/block"     // want "rest may not import core/block"
	_ "example.com/badhouse/core/volume"    // a face knows the nouns
	_ "example.com/badhouse/plugin/docker"  // want "rest may not import plugin/docker"
	_ "example.com/badhouse/plugin/require" // want "rest may not import plugin/require"
	_ "example.com/badhouse/sim"            // want "rest may not import sim"
)

func fits() int {
	// One.
	// Two.
	// Three.
	// Four.
	// Five.
	// Six.
	// Seven.
	return 8
}

func tooLong() int { // want "tooLong has 9 lines, at most 8"
	// One.
	// Two.
	// Three.
	// Four.
	// Five.
	// Six.
	// Seven.
	// Eight.
	return 9
}
