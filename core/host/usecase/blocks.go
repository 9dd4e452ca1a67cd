package usecase

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// transferBytes is how much of a volume is under way for one reader or writer:
// enough that the round trip to the copies is not what limits it.
const transferBytes = 1 << 20

// ReadBlocks writes length bytes of a volume attached here, from offset on, to w.
func (n *Node) ReadBlocks(ctx context.Context, name string, offset, length int64, w io.Writer) error {
	v, _, err := n.attachedHere(ctx, name)
	if err != nil {
		return err
	}
	if err := checkRange(name, v.Size(), offset, length); err != nil {
		return err
	}
	for length > 0 && ctx.Err() == nil {
		count := min(length, transferBytes)
		buffer := n.p.Pool.Get(int(count))
		err := v.Do(&host.Operation{Kind: step.ReadRequest, Offset: offset, Length: count, Buffer: buffer})
		if err == nil {
			_, err = w.Write(buffer.Bytes())
		}
		buffer.Release()
		if err != nil {
			return explain("read", name, offset, err)
		}
		offset, length = offset+count, length-count
	}
	return ctx.Err()
}

// WriteBlocks stores what r has into a volume attached here, from offset on, and
// makes it durable. A volume that the kernel has as a device is refused: two
// writers would ruin its file system. n is how many bytes are durable, and fewer
// than were read if the error came first.
func (n *Node) WriteBlocks(ctx context.Context, name string, offset int64, r io.Reader) (written int64, err error) {
	v, device, err := n.attachedHere(ctx, name)
	if err != nil {
		return 0, err
	}
	if device != nil {
		return 0, &volume.Error{
			Kind: volume.ErrInUse,
			What: fmt.Sprintf("cannot write blocks of volume %q: it is in use as %s", name, device.Path()),
			Fix:  "write to that device, or attach the volume with --no-device",
		}
	}
	for end := false; !end; {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		buffer := n.p.Pool.Get(transferBytes)
		count, err := io.ReadFull(r, buffer.Bytes())
		end = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		switch {
		case err != nil && !end:
			err = fmt.Errorf("read what is to be written: %w", err)
		default:
			err = n.writeOne(v, name, offset+written, buffer.Slice(0, count))
		}
		buffer.Release()
		if err != nil {
			return 0, err
		}
		written += int64(count)
	}
	if err := v.Do(&host.Operation{Kind: step.FlushRequest}); err != nil {
		return 0, explain("flush", name, offset, err)
	}
	return written, nil
}

func (n *Node) writeOne(v *host.Volume, name string, offset int64, piece block.Buffer) error {
	length := int64(piece.Len())
	if length == 0 {
		return nil
	}
	if err := checkRange(name, v.Size(), offset, length); err != nil {
		return err
	}
	err := v.Do(&host.Operation{Kind: step.WriteRequest, Offset: offset, Length: length, Buffer: piece})
	if err != nil {
		return explain("write", name, offset, err)
	}
	return nil
}

// attachedHere returns a volume that this node serves.
func (n *Node) attachedHere(ctx context.Context, name string) (*host.Volume, Device, error) {
	status, err := n.find(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if u := n.known(status.Volume); u != nil {
		if v := u.served(); v != nil {
			return v, u.shown(), nil
		}
	}
	e := &volume.Error{
		Kind: volume.ErrNotAttached,
		What: fmt.Sprintf("volume %q is not attached to node %s", name, n.p.Node.Name),
		Fix:  "attach it:  lagan volume attach " + name,
	}
	if status.AttachedTo != "" {
		e.Causes = []string{"it is attached to node " + status.AttachedTo}
		e.Fix = "ask that node, or take it from there:  lagan volume attach " + name + " --force"
	}
	return nil, nil, e
}

func checkRange(name string, size, offset, length int64) error {
	if offset >= 0 && length >= 0 && offset%block.Size == 0 && length%block.Size == 0 && offset <= size-length {
		return nil
	}
	return &volume.Error{
		Kind: volume.ErrInvalidRange,
		What: fmt.Sprintf("volume %q has %d bytes: %d at %d do not lie in it, or are not made of blocks of %d", name, size, length, offset, block.Size),
		Fix:  "correct offset and length",
	}
}

// explain says to a user what became of an operation.
func explain(verb, name string, offset int64, err error) error {
	e := &volume.Error{What: fmt.Sprintf("cannot %s volume %q at byte %d", verb, name, offset), Causes: []string{err.Error()}}
	switch {
	case errors.Is(err, host.ErrNoSpace):
		e.Kind, e.Fix = volume.ErrNoSpace, "delete volumes or add a disk; reading goes on meanwhile"
	case errors.Is(err, host.ErrGone):
		e.Kind, e.Fix = volume.ErrNotAttached, "see who has it:  lagan volume inspect "+name
	case errors.Is(err, host.ErrDamaged):
		e.Kind, e.Fix = volume.ErrDamaged, "restore the data from a backup"
	default:
		return fmt.Errorf("%s: %w", e.What, err)
	}
	return e
}
