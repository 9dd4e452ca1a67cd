// Demo runs the demonstration of package bench/demo: make demo builds what it
// needs and calls it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lagan-storage/lagan/bench/demo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	binary := flag.String("lagan", "bin/lagan", "the program to show")
	dir := flag.String("dir", "bench/out", "where to work: on a disk with 7 GiB free")
	tree := flag.String("tree", "", "files to unpack on the volume")
	degraded := flag.Bool("degraded", false, "do without devices even where there are some")
	flag.Parse()
	if *tree == "" {
		return errors.New("name the files to unpack with -tree")
	}
	why := missing()
	if *degraded {
		why = "it was asked for (-degraded)"
	}
	required := strings.Split(os.Getenv("LAGAN_REQUIRE"), ",")
	if why != "" && !*degraded && (slices.Contains(required, "fuse") || slices.Contains(required, "root")) {
		return fmt.Errorf("devices are required (LAGAN_REQUIRE), but %s", why)
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(*dir, "demo-")
	if err == nil {
		work, err = filepath.Abs(work)
	}
	if err == nil {
		*binary, err = filepath.Abs(*binary)
	}
	if err != nil {
		return err
	}
	return demo.Run(ctx, demo.Params{
		Binary: *binary, Dir: work, Tree: *tree, Degraded: why, Out: os.Stdout, Now: time.Now, Pause: pause,
	})
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// missing says why there are no devices here, "" if there are.
func missing() string {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Sprintf("this is user %d, not root", uid)
	}
	for _, name := range []string{"/dev/fuse", "/dev/loop-control"} {
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err.Error()
		}
		_ = file.Close() // nothing was written
	}
	return ""
}
