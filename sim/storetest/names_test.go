package storetest

import (
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
)

const (
	belowStable = message.BelowStable
	noSpace     = message.NoSpace
	diskRead    = step.DiskRead
	diskWrite   = step.DiskWrite
)
