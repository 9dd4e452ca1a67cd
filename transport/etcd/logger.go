package etcd

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A line is shown repeatMax times in repeatTick: some come with every heartbeat.
const (
	repeatTick = time.Minute
	repeatMax  = 5
)

// bridge gives etcd's log lines to slog. It also remembers the lines that
// explain why a member does not come up, and the one it died with.
type bridge struct {
	ctx     context.Context // ends when the member begins to stop; zap hands none on
	handler slog.Handler
	notes   *notes
}

// notes is what a member's log said that its errors do not say.
type notes struct {
	died chan struct{} // closed when etcd gave up

	mu       sync.Mutex
	fatal    string // the line that etcd gave up with
	mismatch bool   // a peer belongs to another cluster
	removed  bool   // the others took the member out
}

func newNotes() *notes { return &notes{died: make(chan struct{})} }

// zapLogger returns a zap logger that writes to logger and records in n. ctx
// ends when the member begins to stop.
func zapLogger(ctx context.Context, logger *slog.Logger, n *notes) *zap.Logger {
	core := &bridge{ctx: ctx, handler: logger.Handler(), notes: n}
	sampled := zapcore.NewSamplerWithOptions(core, repeatTick, repeatMax, 0)
	return zap.New(sampled, zap.WithFatalHook(n), zap.WithPanicHook(n))
}

// OnWrite runs where zap would exit the process, or panic on a goroutine of
// etcd's own: etcd found its data unusable. The goroutine ends and the member counts as dead; volumes that are
// attached here go on without it.
func (n *notes) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	text := entry.Message
	for _, a := range attrs(fields) {
		text += " " + a.String()
	}
	n.giveUp(text)
	runtime.Goexit()
}

// giveUp notes why the member is dead.
func (n *notes) giveUp(text string) {
	n.mu.Lock()
	first := n.fatal == ""
	if first {
		n.fatal = text
	}
	n.mu.Unlock()
	if first {
		close(n.died)
	}
}

func (n *notes) observe(message string) {
	mismatch := strings.Contains(strings.ToLower(message), "cluster id mismatch")
	removed := message == "data-dir used by this member must be removed"
	if !mismatch && !removed {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mismatch, n.removed = n.mismatch || mismatch, n.removed || removed
}

func (n *notes) wasRemoved() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.removed
}

func (n *notes) read() (fatal string, mismatch bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fatal, n.mismatch
}

// level translates etcd's levels to ours, one lower: what etcd calls an error
// it copes with, and its Info reports each of its own steps. While the member
// stops, everything it says is of that.
func (b *bridge) level(l zapcore.Level) slog.Level {
	switch l {
	case zapcore.DebugLevel, zapcore.InfoLevel:
		return slog.LevelDebug
	case zapcore.WarnLevel:
		return b.unlessClosing(slog.LevelInfo)
	case zapcore.ErrorLevel:
		return b.unlessClosing(slog.LevelWarn)
	case zapcore.DPanicLevel, zapcore.PanicLevel, zapcore.FatalLevel, zapcore.InvalidLevel:
		return slog.LevelError
	}
	return slog.LevelError
}

func (b *bridge) unlessClosing(l slog.Level) slog.Level {
	if b.ctx.Err() != nil {
		return slog.LevelDebug
	}
	return l
}

// attrs translates fields; keys become snake_case.
func attrs(fields []zapcore.Field) []slog.Attr {
	encoder := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(encoder)
	}
	list := make([]slog.Attr, 0, len(encoder.Fields))
	for key, value := range encoder.Fields {
		list = append(list, slog.Any(strings.ReplaceAll(key, "-", "_"), value))
	}
	slices.SortFunc(list, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// Enabled lets every warning in, also when the log does not show it: notes
// reads them.
func (b *bridge) Enabled(l zapcore.Level) bool {
	return l >= zapcore.WarnLevel || b.handler.Enabled(b.ctx, b.level(l))
}

// With returns a bridge whose lines carry fields.
func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	return &bridge{ctx: b.ctx, handler: b.handler.WithAttrs(attrs(fields)), notes: b.notes}
}

// Check adds the bridge to the writers of entry.
func (b *bridge) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(entry.Level) {
		return checked.AddCore(entry, b)
	}
	return checked
}

// Write hands one line on.
func (b *bridge) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	b.notes.observe(entry.Message)
	if !b.handler.Enabled(b.ctx, b.level(entry.Level)) {
		return nil
	}
	record := slog.NewRecord(entry.Time, b.level(entry.Level), entry.Message, 0)
	record.AddAttrs(attrs(fields)...)
	return b.handler.Handle(b.ctx, record)
}

// Sync does nothing: slog writes at once.
func (b *bridge) Sync() error { return nil }
