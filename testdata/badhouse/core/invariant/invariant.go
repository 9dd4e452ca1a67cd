package invariant // want "no package comment"

// That is here to be imported.
func That(bool) {}
