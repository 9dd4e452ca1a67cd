package format

const (
	goldenSuperblock = 0x31503dec
	goldenBatch      = 0xd9706868
	goldenLeaf       = 0xd44a890b
	goldenInterior   = 0xaf3fd241
	goldenTable      = 0x8c3f42cc
	goldenRoot       = 0x4287d039
	goldenBitmap     = 0x7093d2f4
	goldenParked     = 0x29f7285d
)
