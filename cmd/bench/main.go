// Command bench measures a build of Lagan on this machine and judges it by
// bench/bars.json. It exits with 1 when a bar does not hold.
//
//	go run ./cmd/bench [-short] [-only PATTERN] [-out DIR]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/lagan-storage/lagan/bench"
	"github.com/lagan-storage/lagan/core/host"
)

// procsMin is how many Go processors a node runs with at least: blocking disk
// calls hold one each. The daemon does the same.
const procsMin = 16

func main() {
	held, err := run()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	case !held:
		os.Exit(1)
	}
}

func run() (held bool, err error) {
	out := flag.String("out", filepath.Join("bench", "out"), "folder of the rows; the disks are made there too")
	short := flag.Bool("short", false, "shorter runs on smaller volumes: to see that it works")
	only := flag.String("only", "", "pattern of the contests to run, as in 'write-*'")
	profile := flag.String("cpuprofile", "", "file for a CPU profile of the whole run")
	verbose := flag.Bool("v", false, "log what the nodes log")
	flag.Parse()
	runtime.GOMAXPROCS(max(runtime.NumCPU(), procsMin))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return false, err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return false, errors.Join(err, f.Close())
		}
		defer func() { pprof.StopCPUProfile(); err = errors.Join(err, f.Close()) }()
	}
	level := slog.LevelError
	if *verbose {
		level = slog.LevelInfo
	}
	return bench.Run(ctx, bench.Params{
		Out: *out, Program: filepath.Join("bin", "lagan"), Short: *short, Only: *only, Clock: host.Boottime, Now: time.Now(),
		Log:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
		Report: os.Stdout,
	})
}
