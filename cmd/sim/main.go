// Sim runs the simulation for a long time, on seeds never seen before, and stops
// at the first that fails: make swarm FOR=1h, or
//
//	go run ./cmd/sim -for 1h -j 2
//
// It writes one line of JSON every few seconds: how fast it is, how many of the
// operations were acknowledged, what happened in how many runs, which marks
// were hit. First of all it runs a canary, which must fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/lagan-storage/lagan/sim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s := &swarm{out: os.Stdout, now: time.Now, simulate: sim.Run}
	lasts := flag.Duration("for", time.Hour, "how long")
	seeds := flag.Uint64("seeds", 0, "after how many seeds to stop; 0: when the time is over")
	profile := flag.String("profile", string(sim.Swarm), "none, network, disk, metadata or swarm")
	flag.IntVar(&s.workers, "j", runtime.GOMAXPROCS(0), "how many runs at once")
	flag.Uint64Var(&s.first, "first", 0, "the first seed; 0: one never seen before")
	flag.DurationVar(&s.every, "every", 10*time.Second, "how often to write a line")
	flag.StringVar(&s.pages, "pages", "sim/out", "where to leave the page that shows a failure")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("it takes no arguments, and %q is one", flag.Arg(0))
	}
	if s.workers < 1 || s.every <= 0 {
		return errors.New("-j is at least 1, and -every more than 0")
	}
	s.profile = sim.Profile(*profile)
	if !s.profile.Known() {
		return fmt.Errorf("there is no profile %q: none, network, disk, metadata or swarm", *profile)
	}
	if s.first == 0 {
		s.first = uint64(time.Now().UnixNano()) &^ 0xffff
	}
	s.most = *seeds
	ctx, stop := context.WithTimeout(ctx, *lasts)
	defer stop()
	return s.run(ctx)
}
