package nbd_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/require"
)

// The programs here are written by others, from the same specification.

func (s served) uri(name string) string { return "nbd+unix:///" + name + "?socket=" + s.socket }

func run(t testing.TB, name string, arguments ...string) string {
	t.Helper()
	var complaints bytes.Buffer
	command := exec.CommandContext(t.Context(), name, arguments...)
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(arguments, " "), err, out, &complaints)
	}
	return string(out)
}

func TestNbdinfoSeesWhatCanBeDone(t *testing.T) {
	require.Program(t, "nbdinfo", "libnbd-bin")
	s := serve(t)
	s.export(t, "db", memory.New(8*mib), false)
	s.export(t, "db@monday", memory.New(8*mib), true)
	can := func(export, question, word string) bool {
		err := exec.CommandContext(t.Context(), "nbdinfo", question, word, s.uri(export)).Run()
		if err != nil && err.Error() != "exit status 2" { // 2 is no
			t.Errorf("nbdinfo %s %s: %v", question, word, err)
		}
		return err == nil
	}
	for _, word := range []string{"connect", "read", "flush", "df", "multi-conn", "structured-reply"} {
		if !can("db", "--can", word) || !can("db@monday", "--can", word) {
			t.Errorf("cannot %s", word)
		}
	}
	for _, word := range []string{"write", "fua", "trim", "zero", "fast-zero"} {
		if !can("db", "--can", word) || can("db@monday", "--can", word) {
			t.Errorf("%s: want it of a volume and not of a snapshot", word)
		}
	}
	if can("db", "--is", "read-only") || !can("db@monday", "--is", "read-only") {
		t.Error("want a snapshot read-only and a volume not")
	}
	if can("db", "--can", "cache") {
		t.Error("caching is offered")
	}
}

func TestNbdinfoDescribesExports(t *testing.T) {
	require.Program(t, "nbdinfo", "libnbd-bin")
	s := serve(t)
	v := memory.New(8 * mib)
	v.Data()[3*mib] = 1
	s.export(t, "db", v, false)
	s.export(t, "shop", memory.New(mib), false)
	var list struct {
		Exports []struct {
			Name        string   `json:"export-name"`
			Description string   `json:"description"`
			Size        int64    `json:"export-size"`
			Contexts    []string `json:"contexts"`
			Minimum     int      `json:"block_size_minimum"`
			Preferred   int      `json:"block_size_preferred"`
			Maximum     int      `json:"block_size_maximum"`
		} `json:"exports"`
	}
	must(t, json.Unmarshal([]byte(run(t, "nbdinfo", "--json", "--list", "nbd+unix:///?socket="+s.socket)), &list))
	if len(list.Exports) != 2 {
		t.Fatalf("%+v", list)
	}
	e := list.Exports[0]
	if e.Name != "db" || e.Description != "a volume in memory" || e.Size != 8*mib || e.Minimum != 4096 || e.Preferred != 64<<10 || e.Maximum != 32*mib ||
		len(e.Contexts) != 1 || e.Contexts[0] != "base:allocation" {
		t.Errorf("%+v", e)
	}
	if size := strings.TrimSpace(run(t, "nbdinfo", "--size", s.uri("shop"))); size != fmt.Sprint(mib) {
		t.Errorf("size %s", size)
	}
	var extents []struct{ Offset, Length, Type int64 }
	must(t, json.Unmarshal([]byte(run(t, "nbdinfo", "--json", "--map", s.uri("db"))), &extents))
	if len(extents) != 3 || extents[0].Length != 3*mib || extents[0].Type != 3 || extents[1].Length != 4096 || extents[1].Type != 0 || extents[2].Type != 3 {
		t.Errorf("%+v", extents)
	}
}

func TestNbdcopyBringsEverythingThereAndBack(t *testing.T) {
	require.Program(t, "nbdcopy", "libnbd-bin")
	s := serve(t)
	v := memory.New(24 * mib)
	s.export(t, "db", v, false)
	there, back := filepath.Join(t.TempDir(), "there"), filepath.Join(t.TempDir(), "back")
	content := pattern(24*mib, 1)
	clear(content[4*mib : 12*mib])
	must(t, os.WriteFile(there, content, 0o600))
	run(t, "nbdcopy", "--flush", there, s.uri("db"))
	if !v.Holds(0, content) {
		t.Error("the volume has other bytes than were copied to it")
	}
	reads := v.Reads.Load()
	run(t, "nbdcopy", "--request-size=65536", s.uri("db"), back)
	if reads = v.Reads.Load() - reads; reads != 16*mib>>16 {
		t.Errorf("%d reads of 64 KiB for 16 MiB of data: zeroes are copied", reads)
	}
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, content) {
		t.Errorf("other bytes came back (%v)", err)
	}
	if v.Flushes.Load() == 0 {
		t.Error("no flush arrived")
	}
}

// The script asks what clients rarely do: its assertions are the test.
const nbdshScript = `
assert h.get_size() == 8 << 20
assert h.get_block_size(nbd.SIZE_MINIMUM) == 4096
assert h.can_meta_context("base:allocation")
h.pwrite(b"a" * 4096, 4096, nbd.CMD_FLAG_FUA)
h.pwrite(b"b" * 8192, 8192)
assert h.pread(12288, 4096) == b"a" * 4096 + b"b" * 8192
h.zero(4096, 8192, nbd.CMD_FLAG_FAST_ZERO)
h.zero(4096, 4096, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FUA)
assert h.pread(12288, 4096) == bytes(8192) + b"b" * 4096
h.trim(4096, 12288, nbd.CMD_FLAG_FUA)
assert h.pread(4096, 12288) == bytes(4096)
h.flush()
chunks = []
h.pread_structured(8192, 0, lambda b, o, s, e: chunks.append((len(b), o, s)), nbd.CMD_FLAG_DF)
assert chunks == [(8192, 0, nbd.READ_DATA)], chunks
extents = []
h.block_status(1 << 20, 0, lambda context, offset, entries, e: extents.append((context, entries)))
assert extents[0][0] == "base:allocation", extents
h.set_strict_mode(0)
for attempt in (lambda: h.pread(512, 0), lambda: h.pwrite(b"x" * 100, 0), lambda: h.pread(4096, 8 << 20), lambda: h.cache(4096, 0), lambda: h.trim(512, 512)):
    try:
        attempt()
    except nbd.Error as e:
        assert e.errno in ("EINVAL", "ENOSPC"), e
    else:
        raise AssertionError("what cannot be was done")
pending = [h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray([i] * 4096)), i * 4096) for i in range(200)]
while pending:
    h.poll(-1)
    pending = [c for c in pending if not h.aio_command_completed(c)]
for i in range(200):
    assert h.pread(4096, i * 4096) == bytes([i]) * 4096
h.shutdown()
`

func TestNbdshFindsTheProtocolKept(t *testing.T) {
	require.Program(t, "nbdsh", "python3-libnbd")
	s := serve(t)
	s.export(t, "db", memory.New(8*mib), false)
	t.Setenv("PATH", "/usr/bin:"+os.Getenv("PATH")) // its module is that of the package's python
	run(t, "nbdsh", "--base-allocation", "--uri", s.uri("db"), "-c", nbdshScript)
}

func TestQemuIOFindsWhatItWrote(t *testing.T) {
	require.Program(t, "qemu-io", "qemu-utils")
	s := serve(t)
	v := memory.New(64 * mib)
	s.export(t, "db", v, false)
	out := run(t, "qemu-io", "-f", "raw", s.uri("db"),
		"-c", "write -P 0xa5 0 33M", // larger than one request
		"-c", "write -f -P 0x11 40M 4k",
		"-c", "write -P 0x77 100 1000", // not made of blocks: the client reads and writes whole ones
		"-c", "write -z 4M 4M",
		"-c", "discard 12M 4M",
		"-c", "flush",
		"-c", "read -P 0xa5 8M 4M", "-c", "read -P 0 4M 4M", "-c", "read -P 0 12M 4M", "-c", "read -P 0x11 40M 4k",
		"-c", "read -P 0x77 100 1000", "-c", "read -P 0xa5 1100 1000")
	if strings.Contains(out, "failed") || strings.Contains(out, "error") {
		t.Error(out)
	}
	if v.Zeroes.Load() == 0 || v.Flushes.Load() == 0 {
		t.Errorf("%d zeroes and %d flushes arrived", v.Zeroes.Load(), v.Flushes.Load())
	}
}

func TestQemuImgConvertsBothWays(t *testing.T) {
	require.Program(t, "qemu-img", "qemu-utils")
	s := serve(t)
	v := memory.New(32 * mib)
	s.export(t, "db", v, false)
	dir := t.TempDir()
	raw, image, back := filepath.Join(dir, "raw"), filepath.Join(dir, "image"), filepath.Join(dir, "back")
	content := pattern(32*mib, 5)
	clear(content[8*mib : 24*mib])
	must(t, os.WriteFile(raw, content, 0o600))
	run(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image)
	run(t, "qemu-img", "convert", "-n", "-W", "-f", "qcow2", "-O", "raw", image, s.uri("db"))
	if !v.Holds(0, content) {
		t.Error("the volume has other bytes than were converted")
	}
	run(t, "qemu-img", "convert", "-f", "raw", "-O", "raw", s.uri("db"), back)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, content) {
		t.Errorf("other bytes came back (%v)", err)
	}
	run(t, "qemu-img", "bench", "-f", "raw", "-w", "-c", "2000", "-d", "32", "-s", "4k", "--flush-interval", "100", s.uri("db"))
}

// fio writes with a checksum in each block, trims in between, and reads it all back,
// on two connections.
func TestBlocksComeBackUnderRandomLoad(t *testing.T) {
	require.Program(t, "fio", "fio")
	s := serve(t)
	v := memory.New(64 * mib)
	s.export(t, "db", v, false)
	run(t, "fio", "--name=verify", "--ioengine=nbd", "--uri="+s.uri("db"), "--iodepth=32", "--rw=randwrite", "--bsrange=4k-512k",
		"--size=32m", "--numjobs=2", "--offset_increment=32m", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--fsync=50")
	if v.Flushes.Load() == 0 {
		t.Error("no flush arrived")
	}
}

func TestForeignClientsComeOverTLS(t *testing.T) {
	require.Program(t, "nbdcopy", "libnbd-bin")
	require.Program(t, "qemu-io", "qemu-utils")
	s := serve(t)
	v := memory.New(8 * mib)
	s.export(t, "db", v, false)
	address, certificates, _ := serveTLS(t, s)
	host, port, _ := strings.Cut(address, ":")
	there := filepath.Join(t.TempDir(), "there")
	content := pattern(8*mib, 7)
	must(t, os.WriteFile(there, content, 0o600))
	run(t, "nbdcopy", there, fmt.Sprintf("nbds://%s/db?tls-certificates=%s", address, certificates))
	if !v.Holds(0, content) {
		t.Error("the volume has other bytes than were copied to it")
	}
	run(t, "qemu-io", "--object", "tls-creds-x509,id=tls,endpoint=client,dir="+certificates, "--image-opts",
		fmt.Sprintf("driver=nbd,host=%s,port=%s,export=db,tls-creds=tls", host, port), "-c", "read 0 8M", "-c", "write -P 1 0 2M", "-c", "read -P 1 0 2M")
}
