// Package daemon wires a node together: it makes the parts in the order in which
// they need each other, starts them and stops them in the reverse order. It
// holds the adapters between packages that must not know each other, and no
// logic. Its callers are the commands lagan up and lagan join.
//
//	data directory ▶ devices left over ▶ volume plugin ▶ disks ▶ store ▶ host and transport ▶ use cases ▶ API
//	                                                               └ keeper ▶ etcd member, in its own time
//
// The API answers before a majority of the metadata store is there: /readyz says
// what is missing.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
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
	if err := errors.Join(c.Complete(), c.Check()); err != nil {
		return err
	}
	failed := make(breakdown, 1)
	app := fx.New(options(ctx, c, failed, log))
	if err := app.Err(); err != nil {
		return dig.RootCause(err)
	}
	if err := app.Start(ctx); err != nil {
		return dig.RootCause(err)
	}
	log.Info("node is up", slog.String("node", c.Name), slog.String("socket", c.Socket()))
	notify(log, systemd.SdNotifyReady)
	var broken error
	select {
	case <-ctx.Done():
	case s := <-app.Wait(): // fx hears signals as well
		if s.ExitCode != 0 {
			broken = errors.New("the node could not go on: see its log above")
		}
	case err := <-failed:
		broken = fmt.Errorf("the node could not go on: %w", err)
	}
	log.Info("node stops", slog.String("node", c.Name))
	notify(log, systemd.SdNotifyStopping)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := app.Stop(stop); err != nil {
		return errors.Join(broken, fmt.Errorf("stop the node: %w", err))
	}
	log.Info("node stopped", slog.String("node", c.Name))
	return broken
}

// notify tells the service manager, if it started this process, how far it is.
// What waits for the node, as a container engine does, goes on once it answers,
// and not only once there is a majority: that may need machines that start later.
func notify(log *slog.Logger, state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		log.Warn("service manager was not told", slog.String("state", state), slog.Any("error", err))
	}
}

// breakdown hears why the node cannot go on; the first reason is enough.
type breakdown chan error

func (b breakdown) tell(err error) {
	select {
	case b <- err:
	default:
	}
}

// early is what runs before the graph is whole. What was not started fx does not
// stop: if the node does not come up, early ends it.
type early struct{ ends []func() }

// add has end called, after those that are added later.
func (e *early) add(end func()) { e.ends = append(e.ends, end) }

// HandleError implements fx.ErrorHandler.
func (e *early) HandleError(error) {
	for _, end := range slices.Backward(e.ends) {
		end()
	}
	e.ends = nil
}

// options is the graph.
func options(ctx context.Context, c Config, failed breakdown, log *slog.Logger) fx.Option {
	e := &early{}
	return fx.Options(
		fx.Supply(c, failed, log, e),
		fx.ErrorHook(e),
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
			openExports,
			openPlugin,
			newUseCases,
			newMetrics,
			newAPI,
		),
		// The first frees what a killed daemon left, before anything can wait; the
		// second answers the container engine while the rest is being opened.
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
