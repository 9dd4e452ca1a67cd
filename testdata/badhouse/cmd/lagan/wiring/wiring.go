// Package wiring is where fx may be.
package wiring

import (
	_ "github.com/gin-gonic/gin" // want "only rest may import github.com/gin-gonic/gin"
	_ "go.uber.org/fx/fxevent"

	_ "example.com/badhouse/rest"
	_ "example.com/badhouse/sim"
)
