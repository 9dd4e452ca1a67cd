package format

const (
	goldenSuperblock = 0x31503dec
	goldenBatch      = 0xcd295142
	goldenLeaf       = 0xd44a890b
	goldenInterior   = 0xaf3fd241
	goldenTable      = 0xace129df
	goldenLayers     = 0x2337b29c
	goldenRoot       = 0xbfabaf1f
	goldenBitmap     = 0x7093d2f4
	goldenParked     = 0x549c45e3
)
