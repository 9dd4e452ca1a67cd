// Package node wants its body.
package node

import "example.com/badhouse/core/host" // want "core/node may not import core/host"

// Parts is here to be imported.
const Parts = host.Body
