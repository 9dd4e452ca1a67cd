package demo

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/lagan-storage/lagan/bench/cluster"
)

const (
	// fillBytes is how much of the tree is written, as an archive.
	fillBytes = 128 << 20
	// pieceBytes is what one command writes durably.
	pieceBytes = 1 << 20
)

// blocks writes blocks of the volume with lagan volume write, piece after piece.
// Checksums of the pieces that were durable are kept here, outside the volume.
type blocks struct {
	d      *demo
	node   *cluster.Node
	pieces [][sha256.Size]byte
}

// Create makes the volume.
func (b *blocks) Create(ctx context.Context, n *cluster.Node) error { return b.d.create(ctx, n) }

// Open attaches the volume without a device.
func (b *blocks) Open(ctx context.Context, n *cluster.Node, force bool) error {
	b.node = n
	arguments := []string{"volume", "attach", volumeName, "--no-device"}
	if force {
		arguments = append(arguments, "--force")
	}
	_, err := n.Lagan(ctx, nil, arguments...)
	return err
}

// Close detaches it.
func (b *blocks) Close(ctx context.Context) error {
	_, err := b.node.Lagan(ctx, nil, "volume", "detach", volumeName)
	return err
}

// Remove deletes the volume.
func (b *blocks) Remove(ctx context.Context) error {
	_, err := b.node.Lagan(ctx, nil, "volume", "rm", volumeName)
	return err
}

// Fill writes the tree as an archive.
func (b *blocks) Fill(ctx context.Context) (string, error) {
	began := b.d.p.Now()
	reader, writer := io.Pipe()
	go func() {
		archive := tar.NewWriter(writer)
		err := archive.AddFS(os.DirFS(b.d.p.Tree))
		writer.CloseWithError(errors.Join(err, archive.Close()))
	}()
	defer func() { _ = reader.Close() }() // ends the writer
	for len(b.pieces) < fillBytes/pieceBytes {
		piece := make([]byte, pieceBytes)
		_, err := io.ReadFull(reader, piece)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return "", err
		}
		if err := b.write(ctx, piece); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("wrote %d MiB of an archive, each with a flush, in %.1f s",
		len(b.pieces), b.d.p.Now().Sub(began).Seconds()), nil
}

func (b *blocks) write(ctx context.Context, piece []byte) error {
	offset := strconv.Itoa(len(b.pieces) * pieceBytes)
	if _, err := b.node.Lagan(ctx, bytes.NewReader(piece), "volume", "write", volumeName, "--offset", offset); err != nil {
		return err
	}
	b.pieces = append(b.pieces, sha256.Sum256(piece))
	return nil
}

// Append writes one piece more.
func (b *blocks) Append(ctx context.Context, number int) error {
	return b.write(ctx, pattern(number, pieceBytes))
}

// Glance reads one piece.
func (b *blocks) Glance(ctx context.Context) error { return b.verify(ctx, len(b.pieces)/2) }

func (b *blocks) verify(ctx context.Context, i int) error {
	got, err := b.node.Lagan(ctx, nil, "volume", "read", volumeName,
		"--offset", strconv.Itoa(i*pieceBytes), "--length", strconv.Itoa(pieceBytes))
	if err != nil {
		return err
	}
	if sha256.Sum256(got) != b.pieces[i] {
		return fmt.Errorf("MiB %d: it was flushed, but its content is another now", i)
	}
	return nil
}

// Verify reads every piece that was durable.
func (b *blocks) Verify(ctx context.Context) (string, error) {
	began := b.d.p.Now()
	for i := range b.pieces {
		if err := b.verify(ctx, i); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("verified all %d MiB that had been flushed, in %.1f s",
		len(b.pieces), b.d.p.Now().Sub(began).Seconds()), nil
}
