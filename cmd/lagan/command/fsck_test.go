package command

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/store/check"
)

// goldenDisk unpacks one of the store's golden images.
func goldenDisk(t *testing.T, name string) string {
	t.Helper()
	packed, err := os.Open(filepath.Join("../../../core/store/testdata", name+".img.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packed.Close() }() // it was only read
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(unpacked)
	path := filepath.Join(t.TempDir(), "disk")
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// offline runs a command that asks no node.
func offline(arguments ...string) (code int, out, complaint string) {
	var o, e bytes.Buffer
	code = Run(context.Background(), arguments, Streams{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

// transcript compares what was printed with a page of testdata.
func transcript(t *testing.T, name, got string) {
	t.Helper()
	page := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want(t, got, string(text))
}

func TestDisksOfEveryVersionAreCheckedAndPrinted(t *testing.T) {
	for _, name := range []string{"v1-unclean", "v1-clean", "v1-merging"} {
		path := goldenDisk(t, name)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		code, out, complaint := offline("disk", "fsck", path)
		if code != exitDone || complaint != "" {
			t.Errorf("%s: code %d, %s", name, code, complaint)
		}
		transcript(t, name+".fsck", strings.ReplaceAll(out, path, "DISK"))
		code, out, complaint = offline("disk", "dump", path)
		if code != exitDone || complaint != "" {
			t.Errorf("%s: code %d, %s", name, code, complaint)
		}
		transcript(t, name+".dump", out)
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: looking at a disk changed it (%v)", name, err)
		}
	}
}

func TestDumpShowsWhatPeopleStoredOnlyWhenAsked(t *testing.T) {
	path := goldenDisk(t, "v1-unclean")
	_, plain, _ := offline("disk", "dump", path, "--volume", "02")
	_, whole, _ := offline("disk", "dump", path, "--volume", "02", "--data")
	switch {
	case strings.Contains(plain, "00000000  ") || !strings.Contains(whole, "00000000  "):
		t.Errorf("data is shown without --data or not with it")
	case !strings.Contains(plain, "chunk 0: slot") || strings.Contains(plain, "volume 01000000") || !strings.Contains(plain, "volume 02000000"):
		t.Errorf("with --volume it prints\n%s", plain)
	}
	if code, _, complaint := offline("disk", "dump", path, "-o", "json"); code != exitUsage || !strings.Contains(complaint, "fsck -o json") {
		t.Errorf("code %d, %s", code, complaint)
	}
}

func TestDamagedDiskIsReported(t *testing.T) {
	path := goldenDisk(t, "v1-clean")
	_, before, _ := offline("disk", "fsck", path, "-o", "json")
	var r check.Report
	if err := json.Unmarshal([]byte(before), &r); err != nil || len(r.Volumes) != 3 || len(r.Findings) != 0 {
		t.Fatalf("%v: %s", err, before)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	im, err := check.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	pages := im.Pages()
	data[pages[len(pages)-1]+100] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, complaint := offline("disk", "fsck", path)
	if code != exitNotDone || !strings.Contains(out, "WRONG: page-damaged: page ") || !strings.Contains(complaint, "fills from other copies") {
		t.Errorf("code %d\n%s%s", code, out, complaint)
	}
	code, out, _ = offline("disk", "fsck", path, "-o", "json")
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitNotDone || r.Err(check.PageDamaged) == nil {
		t.Errorf("%v, code %d: %s", err, code, out)
	}
}

func TestDisksThatCannotBeUsedAreNoFindings(t *testing.T) {
	path := goldenDisk(t, "v1-clean")
	file, err := diskio.Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, complaint := offline("disk", "fsck", path); code != exitUsage || !strings.Contains(complaint, "a daemon has it open") {
		t.Errorf("a disk in use: code %d, %s", code, complaint)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("some letters"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{ // any order: each is tried alone
		"it is not a disk of Lagan": text, "neither a file nor a block device": t.TempDir(), "no such file": text + "2",
	} {
		for _, verb := range []string{"fsck", "dump"} {
			if code, out, complaint := offline("disk", verb, path); code != exitUsage || out != "" || !strings.Contains(complaint, name) {
				t.Errorf("%s: code %d, %s%s", name, code, out, complaint)
			}
		}
	}
}
