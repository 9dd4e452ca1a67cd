// Package mystery stands in no table.
package mystery // want "core/mystery has no row in the layout table"

// Secret is here to be imported.
const Secret = 1
