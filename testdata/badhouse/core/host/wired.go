//go:build never

package host

import (
	_ "example.com/badhouse/cmd/lagan/wiring" // want "core/host may not import cmd/lagan/wiring"
	_ "example.com/badhouse/transport/tcp"
)
