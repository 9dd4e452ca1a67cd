package format

const (
	goldenSuperblock = 0x85dd717a
	goldenBatch      = 0x7e837479
	goldenLeaf       = 0xd44a890b
	goldenInterior   = 0xaf3fd241
	goldenTable      = 0xd9dbefdd
	goldenRoot       = 0x4287d039
	goldenBitmap     = 0x7093d2f4
	goldenParked     = 0x29f7285d
)
