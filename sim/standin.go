package sim

import (
	"errors"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// newOrchestrator returns the machine that looks after a node's part.
func newOrchestrator(b *body) node.Machine {
	return &standIn{node: b.id, volumes: make(map[block.VolumeID]*standVolume), names: make(map[string]block.VolumeID)}
}

// standIn stands where core/orchestrator will: it follows the records of the
// metadata store, has the replicas of this node made and told, starts and stops
// coordinators, and attaches and detaches. It creates and heals nothing.
type standIn struct {
	node    block.NodeID
	disks   []block.DiskID // that are open
	volumes map[block.VolumeID]*standVolume
	order   []block.VolumeID
	names   map[string]block.VolumeID
	asked   []standCommand // by slot of their tags
}

// standVolume is what is recorded about a volume, and what runs here.
type standVolume struct {
	config       *volume.Config
	revision     metadata.Revision
	attachment   volume.Attachment
	attachedAt   metadata.Revision
	running      bool
	served       uint64 // the newest attachment that a coordinator was started for
	detach       *volume.Command
	wasDetaching bool
}

type standCommand struct {
	command volume.Command
	txn     metadata.Txn
	tries   int
}

var (
	errAttachedElsewhere = errors.New("the volume is attached to another node")
	errNoVolume          = errors.New("there is no volume of this name")
	errRaced             = errors.New("the record changed meanwhile, or the store did not answer: try again")
)

// Step takes one event.
func (o *standIn) Step(now step.Time, ev *step.Event, out *step.Effects) {
	switch ev.Kind {
	case step.EventWatch:
		o.onWatch(ev.Update, out)
	case step.EventControl:
		o.onControl(&ev.Control, out)
	case step.EventCommand:
		o.onCommand(ev.Command, out)
	case step.EventTransaction:
		o.onTransaction(ev.Tag, &ev.Result, out)
	default: // nothing else is for it
	}
}

func (o *standIn) volume(id block.VolumeID) *standVolume {
	v := o.volumes[id]
	if v == nil {
		v = &standVolume{}
		o.volumes[id] = v
		o.order = append(o.order, id)
	}
	return v
}

func (o *standIn) onWatch(u *metadata.Update, out *step.Effects) {
	for i := range u.Changes {
		c := &u.Changes[i]
		if len(c.Key) > len(volume.NameKey("")) && c.Key[:len(volume.NameKey(""))] == volume.NameKey("") && !c.Deleted {
			var id block.VolumeID
			if id.UnmarshalText(c.Value[1:len(c.Value)-1]) == nil {
				o.names[c.Key[len(volume.NameKey("")):]] = id
			}
			continue
		}
		id, part, ok := volume.ParseVolumeKey(c.Key)
		if !ok || c.Deleted {
			continue
		}
		v := o.volume(id)
		switch part {
		case "config":
			if next, err := volume.ParseConfig(c.Value); err == nil && c.Revision > v.revision {
				v.config, v.revision = next, c.Revision
				o.tell(v, out)
			}
		case "attachment":
			if c.Revision > v.attachedAt {
				v.attachment, v.attachedAt = parseAttachment(c.Value), c.Revision
			}
		}
	}
	for _, id := range o.order {
		o.settle(id, out)
	}
}

// tell has the replicas on this node made, and lets them and the coordinator
// know the configuration.
func (o *standIn) tell(v *standVolume, out *step.Effects) {
	told := false
	for _, m := range v.config.Members {
		if m.Node != o.node || !slices.Contains(o.disks, m.Disk) {
			continue
		}
		o.tellDisk(v, &m, out)
		told = true
	}
	if !told && v.running {
		out.Controls = append(out.Controls, step.Control{
			Kind: step.ConfigChanged, Volume: v.config.Volume, Config: v.config, Revision: int64(v.revision),
		})
	}
}

func (o *standIn) tellDisk(v *standVolume, m *volume.Member, out *step.Effects) {
	out.Controls = append(out.Controls,
		step.Control{Kind: step.MakeReplica, Disk: m.Disk, Replica: m.Replica, Volume: v.config.Volume, Config: v.config, Revision: int64(v.revision)},
		step.Control{Kind: step.ConfigChanged, Disk: m.Disk, Replica: m.Replica, Volume: v.config.Volume, Config: v.config, Revision: int64(v.revision)})
}

// settle starts or stops the coordinator of a volume.
func (o *standIn) settle(id block.VolumeID, out *step.Effects) {
	v := o.volumes[id]
	here := v.attachment.Node == o.node
	switch {
	case v.config == nil:
	case here && !v.running && v.served < v.attachment.Number:
		v.running, v.served = true, v.attachment.Number
		out.Controls = append(out.Controls, step.Control{
			Kind: step.StartCoordinator, Volume: id, Config: v.config, Revision: int64(v.revision), Attached: int64(v.attachedAt),
		})
	case v.running && !v.wasDetaching && (!here || v.served < v.attachment.Number):
		v.wasDetaching = true
		out.Controls = append(out.Controls, step.Control{Kind: step.StopCoordinator, Volume: id, Force: true})
	}
}

func (o *standIn) onControl(c *step.Control, out *step.Effects) {
	switch c.Kind {
	case step.DiskReady:
		o.disks = append(o.disks, c.Disk)
		for _, id := range o.order {
			v := o.volumes[id]
			if v.config == nil {
				continue
			}
			for _, m := range v.config.Members {
				if m.Disk == c.Disk {
					o.tellDisk(v, &m, out)
				}
			}
		}
	case step.DiskUnusable:
		o.disks = slices.DeleteFunc(o.disks, func(d block.DiskID) bool { return d == c.Disk })
	case step.VolumeFenced, step.VolumeDetached:
		v := o.volume(c.Volume)
		v.running, v.wasDetaching = false, false
		if d := v.detach; d != nil {
			v.detach = nil
			if c.Kind == step.VolumeDetached {
				o.write(d, c.Volume, volume.Attachment{Format: volume.Format, Number: v.attachment.Number}, out)
			} else {
				out.Answers = append(out.Answers, volume.Answer{ID: d.ID, Volume: c.Volume, Err: errRaced})
			}
		}
		o.settle(c.Volume, out)
	default: // nothing to do
	}
}

func (o *standIn) onCommand(c *volume.Command, out *step.Effects) {
	id, known := o.names[c.Name]
	v := o.volume(id)
	switch {
	case !known || v.config == nil:
		out.Answers = append(out.Answers, volume.Answer{ID: c.ID, Err: errNoVolume})
	case c.Kind == volume.AttachVolume && v.attachment.Node != (block.NodeID{}) && v.attachment.Node != o.node && !c.Force:
		out.Answers = append(out.Answers, volume.Answer{ID: c.ID, Volume: id, Err: errAttachedElsewhere})
	case c.Kind == volume.AttachVolume:
		o.write(c, id, volume.Attachment{Format: volume.Format, Node: o.node, Number: v.attachment.Number + 1}, out)
	case c.Kind == volume.DetachVolume && v.running && v.detach == nil && !v.wasDetaching:
		keep := *c
		v.detach, v.wasDetaching = &keep, true
		out.Controls = append(out.Controls, step.Control{Kind: step.StopCoordinator, Volume: id, Force: c.Force})
	default:
		out.Answers = append(out.Answers, volume.Answer{ID: c.ID, Volume: id, Err: errRaced})
	}
}

// write emits the guarded transaction that puts an attachment record.
func (o *standIn) write(c *volume.Command, id block.VolumeID, a volume.Attachment, out *step.Effects) {
	v := o.volume(id)
	key := volume.AttachmentKey(id)
	t := metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: v.attachedAt}},
		Ops:    []metadata.Op{{Key: key, Value: encode(&a)}},
	}
	o.asked = append(o.asked, standCommand{command: *c, txn: t})
	out.Transactions = append(out.Transactions, step.Transaction{Tag: step.Tag{Slot: uint32(len(o.asked) - 1)}, Txn: t})
}

func (o *standIn) onTransaction(tag step.Tag, r *metadata.Result, out *step.Effects) {
	q := &o.asked[tag.Slot]
	a := volume.Answer{ID: q.command.ID}
	if r.Outcome != metadata.Applied {
		a.Err = errRaced
	}
	out.Answers = append(out.Answers, a)
}
