package host

import "unsafe"

func isAligned(b []byte) bool { return uintptr(unsafe.Pointer(&b[0]))%slabMin == 0 }
