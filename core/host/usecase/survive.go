package usecase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

// A device may outlive the process that serves it, and with it what is mounted from
// it. What the next process has to know of it is kept beside it:
//
//	[ survivor ] ── its volume is served here again, nothing was lost ──▶ [ attached ]
//	     └── taken elsewhere, deleted, lost something, or not within the grace ──▶ removed
//
// Until then nobody changes the volume's use here, but for taking the device away.

// Survivor is a device that outlived a former process of this node.
type Survivor interface {
	ID() block.VolumeID
	Name() string
	Memory() []byte // what was remembered last
	Size() int64    // bytes
	// Resume serves the device again: first what was not answered.
	Resume(ctx context.Context, v *host.Volume) (Device, error)
	// Abandon removes it and what is mounted from it.
	Abandon() error
}

// Lasting is a device that can outlive this process.
type Lasting interface {
	// Remember keeps what the next process has to know.
	Remember(memory []byte)
	// Leave answers nothing from now on, and reports whether the next process is
	// asked again; else nothing has changed.
	Leave() bool
}

// memory is what is remembered of a volume's use.
type memory struct {
	Number  uint64      `json:"number"` // of its attachment
	Era     block.Epoch `json:"era"`    // of the session that served it
	ByMount bool        `json:"byMount"`
	Mounts  []placed    `json:"mounts"`
}

type placed struct {
	Target string       `json:"target"`
	Since  string       `json:"since"`
	Told   *volume.Uses `json:"told"`
}

// HeldBy makes out of what was remembered what the node's machines have to know.
func HeldBy(remembered []byte) (orchestrator.Held, error) {
	var m memory
	err := json.Unmarshal(remembered, &m)
	if err == nil && m.Number == 0 {
		err = errors.New("it says nothing of an attachment")
	}
	return orchestrator.Held{Number: m.Number, Era: m.Era}, err
}

// remember keeps what the next process has to know of a volume's use.
func (n *Node) remember(u *use) {
	u.mu.Lock()
	v, lasting := u.volume, Lasting(nil)
	if d, is := u.device.(Lasting); is {
		lasting = d
	}
	m := memory{ByMount: u.byUse}
	for _, at := range u.mounts {
		m.Mounts = append(m.Mounts, placed{at.target, at.since, at.told})
	}
	u.mu.Unlock()
	if v == nil || lasting == nil {
		return
	}
	state, _ := v.State()
	m.Number, m.Era = v.Attachment(), state.Era
	data, err := json.Marshal(m)
	if err != nil {
		n.log.Error("use of a volume cannot be remembered", slog.String("volume", u.name), slog.Any("error", err))
		return
	}
	lasting.Remember(data)
}

// OnKept has f called for each mount here that is as it was for a former process, with
// who used it last. f must not block.
func (n *Node) OnKept(f func(ctx context.Context, name, target string, users []volume.User)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept = f
}

// TakeOver serves the devices that outlived a former process, each as soon as its
// volume is served here. It does not wait. It is called once, before anybody asks for
// anything, or changes what is there.
func (n *Node) TakeOver(ctx context.Context) {
	for _, s := range n.p.Survivors {
		u := n.useOf(s.ID(), s.Name())
		u.survivor = s
		u.changing.Lock()
		n.running.Go(func() {
			defer u.changing.Unlock()
			n.takeOver(ctx, u, s)
		})
	}
}

func (n *Node) takeOver(ctx context.Context, u *use, s Survivor) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.p.Grace)
	defer cancel()
	go func() {
		select {
		case <-n.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	var m memory
	err := json.Unmarshal(s.Memory(), &m)
	var v *host.Volume
	if err == nil {
		v, err = n.p.Host.AwaitHeld(ctx, s.ID(), m.Number)
	}
	select {
	case <-n.ended: // it waits on, for the next process
		return
	default:
	}
	if err == nil {
		err = n.resume(ctx, u, v, &m)
	}
	if err == nil {
		return
	}
	n.log.Error("device that outlived a former daemon is removed: what uses it must be restarted", slog.String("volume", u.name), slog.Any("error", err))
	n.abort(u)
	if v != nil {
		if err := n.p.Host.Detach(context.WithoutCancel(ctx), u.name, false); err != nil {
			n.log.Warn("volume without its device could not be detached", slog.String("volume", u.name), slog.Any("error", err))
		}
	}
}

// resume makes the use what it was.
func (n *Node) resume(ctx context.Context, u *use, v *host.Volume, m *memory) error {
	if state, _ := v.State(); !state.Lossless {
		return errors.New("writes that it was told of may be lost: too many copies lost power meanwhile")
	}
	u.mu.Lock()
	s := u.survivor
	u.mu.Unlock()
	if s == nil {
		return errors.New("it was taken away by force")
	}
	device, err := s.Resume(ctx, v)
	if err != nil {
		return err
	}
	u.mu.Lock()
	u.volume, u.device, u.byUse, u.stopping, u.survivor = v, device, m.ByMount, false, nil
	u.mounts = nil
	var targets []string
	for _, at := range m.Mounts {
		u.mounts = append(u.mounts, mount{at.Target, at.Since, at.Told})
		targets = append(targets, at.Target)
	}
	u.mu.Unlock()
	life := context.WithoutCancel(ctx)
	n.running.Go(func() { n.watch(life, u, v) })
	if v.Size() > s.Size() {
		n.follow(ctx, u, v)
	}
	n.tell(u)
	n.log.Info("volume is used as it was for a former daemon", slog.String("volume", u.name), slog.Any("mounts", targets))
	n.mu.Lock()
	f := n.kept
	n.mu.Unlock()
	for _, at := range m.Mounts {
		if f != nil && at.Told != nil {
			f(life, u.name, at.Target, at.Told.Users)
		}
	}
	return nil
}

// leave leaves a device that is in use to the next process.
func (n *Node) leave(u *use) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	d, lasts := u.device.(Lasting)
	if !lasts || u.volume == nil || !d.Leave() {
		return false
	}
	n.log.Info("volume in use is left to the next daemon", slog.String("volume", u.name))
	u.device, u.mounts = nil, nil
	return true
}

// occupied reports whether containers have the volume.
func (u *use) occupied() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.ContainsFunc(u.mounts, func(m mount) bool { return m.told != nil && len(m.told.Users) > 0 })
}

func (u *use) abandon() error {
	u.mu.Lock()
	s := u.survivor
	u.survivor = nil
	u.mu.Unlock()
	if s == nil {
		return nil
	}
	if err := s.Abandon(); err != nil {
		return fmt.Errorf("volume %q: %w", u.name, err)
	}
	return nil
}
