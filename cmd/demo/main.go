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
	"github.com/lagan-storage/lagan/bench/machine"
)

func main() {
	// Who reads the timeline may go away, and what was made is removed all the same.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
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
	only := flag.String("only", "", "show no more than files, or blocks")
	flag.Parse()
	if *tree == "" {
		return errors.New("name the files to unpack with -tree")
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
	kind, why, err := choose(ctx, *only, work)
	if err != nil {
		return errors.Join(err, os.RemoveAll(work))
	}
	return demo.Run(ctx, demo.Params{
		Binary: *binary, Dir: work, Tree: *tree, Kind: kind, Degraded: why, Out: os.Stdout, Now: time.Now, Pause: pause,
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

// choose returns what can be shown here, and why no more than that. What
// LAGAN_REQUIRE names must be there.
func choose(ctx context.Context, only, work string) (kind demo.Kind, why string, err error) {
	required := strings.Split(os.Getenv("LAGAN_REQUIRE"), ",")
	requires := func(things ...string) bool {
		return only == "" && slices.ContainsFunc(things, func(t string) bool { return slices.Contains(required, t) })
	}
	switch only {
	case "", "files", "blocks":
	default:
		return 0, "", fmt.Errorf("-only %q: it is files or blocks", only)
	}
	why = devicesMissing()
	if only == "blocks" {
		why = "it was asked for (-only blocks)"
	}
	if why != "" && requires("docker", "fuse", "root") {
		return 0, "", fmt.Errorf("devices are required (LAGAN_REQUIRE), but %s", why)
	}
	if why != "" {
		return demo.Blocks, why, nil
	}
	if only == "files" {
		return demo.Files, "it was asked for (-only files)", nil
	}
	if err := machine.Try(ctx, machine.Params{Name: "trial", Dir: filepath.Join(work, "trial"), Pause: pause}); err != nil {
		if ctx.Err() != nil || requires("docker") {
			return 0, "", fmt.Errorf("container engines are required (LAGAN_REQUIRE), but %w", err)
		}
		why, _, _ := strings.Cut(err.Error(), "\n") // its log follows
		return demo.Files, why, nil
	}
	return demo.Containers, "", nil
}

// devicesMissing says why there are no devices here, "" if there are.
func devicesMissing() string {
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
