// Lagan keeps the data of containers on more than one machine: this is its
// daemon (lagan up) and its command line, in one program.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/lagan-storage/lagan/cmd/lagan/command"
)

func main() {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, restore) // a second signal ends the process at once
	os.Exit(command.Run(ctx, os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
