// Package daemon wires a node together: it makes the parts in the order in which
// they need each other, starts them and stops them in the reverse order. It
// holds the adapters between packages that must not know each other, and no
// logic. Its only caller is the command lagan up.
//
//	data directory ▶ devices left over ▶ volume plugin ▶ disks ▶ etcd member ▶ store ▶ host and transport
//	                                                       ▶ use cases ▶ API
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.uber.org/dig"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
)

// stopWithin bounds an orderly stop: file systems are unmounted and everything
// is made durable on all copies. What is not done by then is left to the next
// start, which loses nothing that was acknowledged.
const stopWithin = 45 * time.Second

// Run runs a node until ctx ends, or until it cannot go on.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	if err := c.check(); err != nil {
		return err
	}
	app := fx.New(options(ctx, c, log))
	if err := app.Err(); err != nil {
		return dig.RootCause(err)
	}
	if err := app.Start(ctx); err != nil {
		return dig.RootCause(err)
	}
	log.Info("node is up", slog.String("node", c.Name), slog.String("socket", c.Socket()))
	var broken error
	select {
	case <-ctx.Done():
	case s := <-app.Wait(): // fx hears signals as well
		if s.ExitCode != 0 {
			broken = errors.New("the node could not go on: see its log above")
		}
	}
	log.Info("node stops", slog.String("node", c.Name))
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := app.Stop(stop); err != nil {
		return errors.Join(broken, fmt.Errorf("stop the node: %w", err))
	}
	log.Info("node stopped", slog.String("node", c.Name))
	return broken
}

// options is the graph.
func options(ctx context.Context, c Config, log *slog.Logger) fx.Option {
	plugin := &volumePlugin{}
	return fx.Options(
		fx.Supply(c, log),
		fx.ErrorHook(plugin), // what is not started is not stopped
		fx.Provide(
			func() context.Context { return ctx },
			loadIdentity,
			openDir,
			openMarkers,
			openDisks,
			describeNode,
			openStore,
			openBody,
			openDevices,
			plugin.open,
			newUseCases,
			newAPI,
		),
		// The first frees what a killed daemon left, before anything can wait; the
		// second answers the container engine while the rest waits for a majority.
		fx.Invoke(func(*devices) {}, func(*volumePlugin) {}, serveAPI, connectPlugin),
		fx.StartTimeout(time.Hour), // ctx ends it
		fx.StopTimeout(stopWithin),
		fx.WithLogger(func() fxevent.Logger { return quiet(log) }),
	)
}

// quiet logs what goes wrong in the wiring and nothing else.
func quiet(log *slog.Logger) fxevent.Logger {
	l := &fxevent.SlogLogger{Logger: log}
	l.UseLogLevel(slog.LevelDebug)
	l.UseErrorLevel(slog.LevelDebug) // the error is returned and told once
	return l
}
