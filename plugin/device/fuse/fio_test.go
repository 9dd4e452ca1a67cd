package fuse_test

import (
	"testing"

	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/require"
)

// fio writes with a checksum in each block, trims in between, and reads it all
// back.
func TestBlocksComeBackUnderRandomLoad(t *testing.T) {
	a, _ := newAttacher(t)
	require.Program(t, "fio", "fio")
	backend := memory.New(64 * mib)
	d := attach(t, a, backend)
	run(t, "fio", "--name=verify", "--filename="+d.Path(), "--direct=1", "--ioengine=libaio", "--iodepth=32",
		"--rw=randwrite", "--bsrange=4k-512k", "--size=64m", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--fdatasync=50")
	if backend.Flushes.Load() == 0 {
		t.Error("no flush arrived")
	}
	must(t, d.Detach(t.Context()))
}
