package etcd

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestLogOfEtcdIsOneLevelLowerAndQuietWhileItStops(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
	running, stopping := context.WithCancel(t.Context())
	n := newNotes()
	log := zapLogger(running, logger, n).With(zap.String("local-member-id", "7"))
	log.Info("each step")
	log.Warn("coped", zap.Int("peer-count", 2))
	log.Error("failed once")
	stopping()
	log.Error("accept: closed")
	log.Warn("request cluster ID mismatch")
	if _, mismatch := n.read(); !mismatch {
		t.Error("a line that is not shown was not noted")
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("shown:\n%s", out.String())
	}
	for i, want := range []string{`level=INFO msg=coped local_member_id=7 peer_count=2`, `level=WARN msg="failed once" local_member_id=7`} {
		if !strings.HasSuffix(lines[i], want) {
			t.Errorf("line %q, want %q", lines[i], want)
		}
	}
}

func TestRepeatedLinesOfEtcdAreCut(t *testing.T) {
	var out bytes.Buffer
	log := zapLogger(t.Context(), slog.New(slog.NewTextHandler(&out, nil)), newNotes())
	for range 100 * repeatMax {
		log.Warn("with every heartbeat")
	}
	if got := strings.Count(out.String(), "\n"); got > 2*repeatMax { // a new tick may begin meanwhile
		t.Errorf("%d lines shown", got)
	}
}

func TestEtcdThatGivesUpDoesNotEndTheProcess(t *testing.T) {
	n := newNotes()
	log := zapLogger(t.Context(), slog.New(slog.DiscardHandler), n)
	go log.Fatal("cannot read log", zap.String("path", "/x"))
	<-n.died
	if fatal, _ := n.read(); !strings.Contains(fatal, "cannot read log") || !strings.Contains(fatal, "/x") {
		t.Errorf("noted: %q", fatal)
	}
}
