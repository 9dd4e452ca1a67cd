package program_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lagan-storage/lagan/plugin/program"
)

// holds is a program that makes a file, and removes it when its input ends.
const holds = `trap '' HUP INT TERM PIPE
touch "$1" || exit 1
echo done
cat >/dev/null
rm "$1"`

func there(t *testing.T, name string) bool {
	t.Helper()
	_, err := os.Stat(name)
	return err == nil
}

func TestWhatIsHeldIsUndoneByItsRelease(t *testing.T) {
	name := filepath.Join(t.TempDir(), "held")
	release, err := program.Hold(t.Context(), "sh", "-c", holds, "sh", name)
	if err != nil || !there(t, name) {
		t.Fatal(err)
	}
	if err := release(); err != nil || there(t, name) {
		t.Errorf("after the release: %v", err)
	}
}

func TestWhatCannotBeHeldSaysWhy(t *testing.T) {
	_, err := program.Hold(t.Context(), "sh", "-c", holds, "sh", filepath.Join(t.TempDir(), "none", "held"))
	if err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("%v", err)
	}
	if _, err := program.Hold(t.Context(), "no-such-program"); err == nil {
		t.Error("a program that is not there ran")
	}
}

// The program goes on, so that what it did in the end is undone.
func TestWhatComesTooLateIsUndone(t *testing.T) {
	dir := t.TempDir()
	fifo, name := filepath.Join(dir, "fifo"), filepath.Join(dir, "undone")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := program.Hold(ctx, "sh", "-c", `read -r word <"$1"; cat >/dev/null; echo "$word" >"$2"; cat "$2" >"$1"`, "sh", fifo, name); err == nil {
		t.Fatal("it was waited for")
	}
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(fifo); err != nil || string(got) != "go\n" {
		t.Errorf("%q, %v", got, err)
	}
}
